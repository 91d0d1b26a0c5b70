"""Where arrays lie, how programs run there, checkpoints and signals."""
