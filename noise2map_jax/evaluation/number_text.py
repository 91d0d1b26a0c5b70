"""Scores as text for people."""

import math


def number(value: float, form: str) -> str:
    """Write a number: `number(0.5, ".2f")`; n/a if it is not defined."""
    return "n/a" if math.isnan(value) else format(value, form)
