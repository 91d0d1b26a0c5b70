"""The training loop: batches, steps, validation, checkpoints, logs."""
