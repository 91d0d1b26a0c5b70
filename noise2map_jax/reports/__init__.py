"""The report of a run: pictures of predictions and a page."""
