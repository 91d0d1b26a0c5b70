"""Images as people see them, and where on Earth they lie: datasets and maps read through it."""
