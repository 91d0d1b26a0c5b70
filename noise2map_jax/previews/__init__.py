"""A finished map as one picture to look at: images, map, outlines, legend, scale and north."""
