"""What a part of the benchmark is given, and how it says that it cannot go on."""

import dataclasses
import pathlib
import time
from collections.abc import Callable
from typing import Any

from benchmarks.accelerator.sizes import Size
from benchmarks.cases import Case

Found = dict[str, Any]  # what a part found, as JSON keeps it


class OutOfTime(Exception):
    """What is left of a part does not fit into its time; the message says what that is."""


class NotPossible(Exception):
    """A part cannot be measured here; the message says why."""


def not_sent(found: Found) -> None:
    """Stand for what sends results, which the process of a part puts here."""


@dataclasses.dataclass
class Job:
    """One part to be measured.

    Attributes:
        size: how large everything is.
        platform: of JAX's devices: cpu, gpu, tpu.
        deadline: when the part should be done, by the clock `time.monotonic`.
        results: what the other parts found, by their names.
        found: what this part found so far, in an earlier call, too; {} at first.
        folder: for files that are not kept.
        dataset: name of a prepared dataset; empty = scenes are drawn.
        data_dir: the folder that holds it.
        send: takes what was found so far.
    """

    size: Size
    platform: str
    deadline: float
    results: dict[str, Found]
    found: Found
    folder: pathlib.Path
    dataset: str = ""
    data_dir: str = ""
    send: Callable[[Found], None] = not_sent

    def save(self) -> None:
        """Hand over what was found so far: it is kept whatever happens next."""
        self.send(self.found)

    @property
    def seconds_left(self) -> float:
        """The time that is left."""
        return self.deadline - time.monotonic()

    def need(self, seconds: float, what: str) -> None:
        """Go on only if there is time.

        Raises:
            OutOfTime: there is less time left than `what` takes.
        """
        if self.seconds_left < seconds:
            raise OutOfTime(what)

    def compiling(self, part: str) -> float:
        """Return the seconds that compiling took in `training` or `forward`; 0 if not known."""
        rows = self.results.get(part, {}).get("rows", ())
        return max((row["compile_seconds"] for row in rows), default=0.0)

    def case(self, batch_size: int, dtype: str = "") -> Case:
        """Return the network at a batch size; the first type of the size if none is given."""
        size = self.size
        dtype = dtype or size.dtypes[0]
        return Case(size.network, batch_size, size.tile_size, dtype, size.repeats)

    def matmul_peak(self, dtype: str) -> float | None:
        """Return the FLOP/s that were measured of products of a type; None if they were not."""
        for row in self.results.get("peaks", {}).get("products", ()):
            if (row["dtype"], row["precision"]) == (dtype, "default"):
                return row["tflop_per_s"] * 1e12
        return None
