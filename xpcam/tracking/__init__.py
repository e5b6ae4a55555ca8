"""2 Frame to FaceParams: find the face, read it, steady it; and write what was read."""
