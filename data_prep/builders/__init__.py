"""The builders, one module a dataset: its options, and the plan of what to write."""
