"""Studies: variants times seeds, their comparison, their tables and page."""
