"""Costs of a step, read from its compiled program: memory, arithmetic, collectives, time."""
