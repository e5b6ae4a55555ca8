"""4b What shows between the lips."""
