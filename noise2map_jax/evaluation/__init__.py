"""Scores, predictions and features of trained networks."""
