"""Looking at datasets that are built: verify, describe, contact sheets."""
