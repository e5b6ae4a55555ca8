"""Moving the pixels of a picture by a triangle mesh, sharply at the rims of eyes and mouth."""
