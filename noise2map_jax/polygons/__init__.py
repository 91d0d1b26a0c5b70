"""Polygons of class maps, as files that a GIS opens."""
