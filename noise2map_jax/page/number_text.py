"""Numbers as text: a dash where there is none (None), n/a where it is not defined (NaN)."""

import math
from typing import TypeGuard

UNKNOWN = "–"
UNDEFINED = "n/a"


def is_known(value: float | None) -> TypeGuard[float]:
    """Whether a number is there and finite."""
    return value is not None and math.isfinite(value)


def percent(fraction: float | None, digits: int = 2) -> str:
    """A fraction of 1 in %, without the sign of %: 0.5 -> "50.00"."""
    return f"{100 * fraction:.{digits}f}" if is_known(fraction) else _missing(fraction)


def percent_with_sign(fraction: float | None, digits: int = 2) -> str:
    """The same with the sign of %, where there is a number: 0.5 -> "50.00 %"."""
    return percent(fraction, digits) + (" %" if is_known(fraction) else "")


def decimal(number: float | None, digits: int) -> str:
    """A number with so many digits behind the point: 0.5 -> "0.50"."""
    return f"{number:.{digits}f}" if is_known(number) else _missing(number)


def significant(number: float | None, digits: int = 3) -> str:
    """A number with so many digits that count: 1234.5 -> "1,234", 0.012345 -> "0.0123"."""
    if not is_known(number):
        return _missing(number)
    exponent = int(f"{number:.{digits - 1}e}".partition("e")[2])  # after rounding: 9.996 is 10.0
    return f"{number:,.{max(0, digits - 1 - exponent)}f}"


def whole(number: int) -> str:
    """A whole number with commas: 113673219 -> "113,673,219"."""
    return f"{number:,}"


def signed_percent(fraction: float | None, digits: int = 2) -> str:
    """The same with plus or minus: -0.012 -> "−1.20"."""
    return signed(100 * fraction, digits) if is_known(fraction) else _missing(fraction)


def signed(number: float | None, digits: int = 2) -> str:
    """A number with plus or minus: 1.5 -> "+1.50"."""
    return f"{number:+.{digits}f}".replace("-", "−") if is_known(number) else _missing(number)


def p_value(p: float | None) -> str:
    """A probability by chance: 0.00001 -> "<0.001"."""
    if not is_known(p):
        return _missing(p)
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def detectable(difference: float | None) -> str:
    """A difference that can be seen, in points: more than there can be is none."""
    if difference is None or math.isnan(difference):
        return _missing(difference)
    return percent(difference, 1) if difference <= 1 else "none"


def sort_value(value: float | None) -> str:
    """What a table is sorted by; empty for what is not known."""
    return repr(float(value)) if is_known(value) else ""


def _missing(value: float | None) -> str:
    return UNKNOWN if value is None else UNDEFINED
