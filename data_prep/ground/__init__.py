"""The common ground of all rooms: datasets, scenes, errors, options."""
