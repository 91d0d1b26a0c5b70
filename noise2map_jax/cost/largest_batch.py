"""The largest batch that fits: found by trying, as only the compiler knows what a batch needs."""

import dataclasses
from collections.abc import Callable

MOST_ATTEMPTS = 12  # each may take minutes; twelve find the batch among 64 times the first


@dataclasses.dataclass(frozen=True)
class LargestBatch:
    """The result of a search.

    Attributes:
        size: the largest batch that was seen to fit; 0 = none.
        too_large: the smallest that was seen not to fit; None = all that were tried fit.
        unit: batches are multiples of it.
    """

    size: int
    too_large: int | None
    unit: int

    def describe(self) -> str:
        """Describe the batch, and how sure it is that no larger one fits."""
        if self.too_large is None:
            return f"a batch of {self.size}; larger ones were not tried"
        between = self.too_large - self.size > self.unit
        untried = ", and none between was tried" if between else ""
        return f"a batch of {self.size}; {self.too_large} does not fit{untried}"


def search_largest_batch(
    fits: Callable[[int], bool], first: int, unit: int, most_attempts: int = MOST_ATTEMPTS
) -> LargestBatch:
    """Search by doubling while batches fit, then by halving the range that is left.

    Args:
        fits: tries a batch; it must not refuse a batch that is smaller than one that fits.
        first: the first batch to try; the next lower multiple of `unit` is, or `unit` itself.
        unit: batches are multiples of it: devices x micro-batches.
        most_attempts: number of batches that may be tried.
    """
    size, too_large = 0, None
    candidate = max(first // unit, 1) * unit
    for _ in range(most_attempts):
        if fits(candidate):
            size = candidate
        else:
            too_large = candidate
        between = (size + (too_large or 0)) // (2 * unit) * unit
        candidate = 2 * size if too_large is None else between
        if candidate == size:
            break
    return LargestBatch(size, too_large, unit)
