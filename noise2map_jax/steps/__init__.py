"""The compiled functions: training step, evaluation step, optimiser."""
