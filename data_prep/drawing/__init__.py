"""Draws synthetic aerial scenes: a site plan, its buildings and clutter, light, a picture."""
