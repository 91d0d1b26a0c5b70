"""From scenes to ArrayRecord shards, and what is known of them afterwards."""
