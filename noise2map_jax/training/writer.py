"""Metrics of a run on disk: `metrics.jsonl` for programs, TensorBoard for people."""

import json
import math
import os
import pathlib
from collections.abc import Mapping

import numpy as np

from noise2map_jax import strict_json


class MetricWriter:
    """Writes scalars and images of a run; only the first host process creates a writer.

    A run that resumes at step s first drops the lines that an interrupted attempt wrote after s, so
    no step is in `metrics.jsonl` twice.
    """

    def __init__(self, workdir: pathlib.Path, *, first_step: int = 0):
        from tensorboardX import SummaryWriter  # here because it imports torch, if installed

        workdir.mkdir(parents=True, exist_ok=True)
        self._path = workdir / "metrics.jsonl"
        _drop_after(self._path, first_step)
        self._file = self._path.open("a")
        # purge_step hides TensorBoard events of the interrupted attempt in the same way.
        self._tensorboard = SummaryWriter(str(workdir / "tensorboard"), purge_step=first_step + 1)

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write named numbers of a step; a number that is not finite becomes null in JSON."""
        numbers = {name: float(value) for name, value in scalars.items()}
        self._file.write(strict_json.dumps({"step": step, **numbers}) + "\n")
        self._file.flush()
        for name, value in numbers.items():
            if not math.isfinite(value):
                continue  # it would be drawn, or logged as a mistake
            self._tensorboard.add_scalar(name, value, step)

    def write_image(self, step: int, name: str, image: np.ndarray) -> None:
        """Write an image, [H, W, 3] uint8."""
        self._tensorboard.add_image(name, image, step, dataformats="HWC")

    def flush(self) -> None:
        """Write everything to disk."""
        self._file.flush()
        self._tensorboard.flush()

    def close(self) -> None:
        """Flush and close."""
        self._file.close()
        self._tensorboard.close()


def _drop_after(path: pathlib.Path, step: int) -> None:
    """Keep only complete lines of steps up to `step`."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (json.JSONDecodeError, KeyError):
            continue  # the last line of a killed run may be cut off
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(kept))
    os.replace(temporary, path)
