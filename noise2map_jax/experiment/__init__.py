"""From a config to what is trained, and the run that keeps it."""
