"""Targets kept by name, in an order, prepared once."""
