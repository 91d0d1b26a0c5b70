"""Images as people see them: pixels, and where on Earth they lie. Training and maps read through it."""
