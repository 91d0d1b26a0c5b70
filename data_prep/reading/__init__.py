"""Reads image and label files: their pixels, where they lie, and which belong together."""
