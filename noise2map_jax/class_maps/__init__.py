"""Finished maps of class indices, read again: strip by strip, and against the truth."""
