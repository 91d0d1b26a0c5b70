"""Studies: variants times seeds, with their comparison, tables and page."""
