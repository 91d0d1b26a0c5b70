"""An experiment made from a config, and the run that stores its config and results."""
