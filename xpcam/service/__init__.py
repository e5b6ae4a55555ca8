"""The program as a service of systemd: how it reports, how it logs, how it is installed."""
