"""What a folder holds, and which command builds a dataset of it."""
