"""Numbers as text; what is not known, None or NaN, becomes a dash."""

import math
from typing import TypeGuard

UNKNOWN = "–"


def is_known(value: float | None) -> TypeGuard[float]:
    """Whether a number is there and finite."""
    return value is not None and math.isfinite(value)


def percent(fraction: float | None, digits: int = 2) -> str:
    """A fraction of 1 in %, without the sign of %: 0.5 -> "50.00"."""
    return f"{100 * fraction:.{digits}f}" if is_known(fraction) else UNKNOWN


def signed_percent(fraction: float | None, digits: int = 2) -> str:
    """The same with plus or minus: -0.012 -> "−1.20"."""
    return signed(100 * fraction, digits) if is_known(fraction) else UNKNOWN


def signed(number: float | None, digits: int = 2) -> str:
    """A number with plus or minus: 1.5 -> "+1.50"."""
    return f"{number:+.{digits}f}".replace("-", "−") if is_known(number) else UNKNOWN


def p_value(p: float | None) -> str:
    """A probability by chance: 0.00001 -> "<0.001"."""
    if not is_known(p):
        return UNKNOWN
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def detectable(difference: float | None) -> str:
    """A difference that can be seen, in points: more than there can be is none."""
    if difference is None or math.isnan(difference):
        return UNKNOWN
    return percent(difference, 1) if difference <= 1 else "none"


def sort_value(value: float | None) -> str:
    """What a table is sorted by; empty for what is not known."""
    return repr(float(value)) if is_known(value) else ""
