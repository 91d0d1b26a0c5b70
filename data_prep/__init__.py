"""Datasets as their owners distribute them -> ArrayRecord shards: `python -m data_prep`."""
