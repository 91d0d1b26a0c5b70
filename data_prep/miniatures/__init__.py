"""Small generated datasets in the exact layouts of the owners, for trials and tests."""
