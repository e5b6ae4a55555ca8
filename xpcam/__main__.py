"""`python -m xpcam` is `xpcam`."""

from xpcam.cli import main

main()
