"""Xpression Cam: a portrait makes your expressions, as a camera anyone can select."""

__version__ = "0.1.0"
