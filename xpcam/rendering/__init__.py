"""4 The target's motion to a picture: mesh warp, openings, light."""
