"""A target, prepared once: a still, a clip, a folder of stills; and switching between them."""
