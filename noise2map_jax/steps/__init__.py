"""What is compiled: the training step and the evaluation step."""
