"""One module a dataset: its options, and the plan of what is to be written."""
