"""What a step costs, read from its compiled program: memory, operations, exchanges, time."""
