"""4a Eyes: where they look, lids that shut, irises that move."""
