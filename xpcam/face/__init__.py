"""The 3D morphable face and its 478 landmarks."""
