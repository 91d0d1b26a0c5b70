"""Exports: the prediction of a finished run as one file, for programs without Flax."""
