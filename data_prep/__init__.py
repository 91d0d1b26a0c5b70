"""Turns datasets as their owners distribute them into ArrayRecord shards: `python -m data_prep`."""
