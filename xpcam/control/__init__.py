"""Steering a run from outside: its socket, the API over it, and the client that the command line uses."""
