"""Checks of datasets that are built: verify, describe, contact sheets."""
