"""1 Camera to Frame: webcams, files, streams, parameter files; and the list of devices."""
