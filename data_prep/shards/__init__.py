"""Writes scenes as ArrayRecord shards with a manifest, and reads them back."""
