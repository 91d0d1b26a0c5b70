"""Pages of results: one self-contained HTML file of a study or of a run."""
