"""From files to arrays on a grid, where they lie, and which belong together."""
