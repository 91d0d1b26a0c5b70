"""Protocols of datasets: facts that say how their scenes are divided."""
