"""Protocols of datasets: published divisions of their scenes into splits."""
