"""The second engine, X2Face: an embedded face, and the grid by which a driver's picture samples it."""
