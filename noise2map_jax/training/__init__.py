"""The loop: batches, steps, validation, checkpoints, logs."""
