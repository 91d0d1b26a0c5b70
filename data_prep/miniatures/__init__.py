"""Small generated datasets in the exact layouts of the real ones, for trials and tests."""
