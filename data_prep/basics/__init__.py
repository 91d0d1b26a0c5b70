"""What all rooms build on: datasets, scenes, errors, options."""
