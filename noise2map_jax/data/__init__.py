"""Records from ArrayRecord shards to batches."""
