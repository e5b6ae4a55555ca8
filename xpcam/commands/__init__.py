"""Commands that talk to a run, or to the gallery; `xpcam/cli.py` puts them together."""
