"""Placement of arrays on devices, execution of steps, checkpoints, and signals to stop."""
