"""What every room goes by: datasets, scenes, errors, options."""
