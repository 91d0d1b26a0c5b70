"""What is kept of a trained member of a study: counts on disk, from which all else follows."""

import dataclasses
import os
import pathlib

import numpy as np

FILE = "result.npz"


@dataclasses.dataclass(frozen=True)
class MemberResult:
    """What was counted of a member's best parameters.

    Attributes:
        step: that they are of.
        confusions: [N, K, K] int64, one matrix a record of the evaluated split, at the member's
            inference timesteps.
        timesteps: [G] int32, the grid of the sweep.
        sweep: [G, K, K] int64, one matrix a timestep, over the validation split.
        question: what was asked: split, timesteps and data; another one is asked anew.
    """

    step: int
    confusions: np.ndarray
    timesteps: np.ndarray
    sweep: np.ndarray
    question: str


def save(result: MemberResult, workdir: pathlib.Path) -> None:
    """Write it into a member's folder, whole or not at all."""
    workdir.mkdir(parents=True, exist_ok=True)
    temporary = workdir / f"{FILE}.tmp"
    with temporary.open("wb") as file:
        np.savez_compressed(file, **dataclasses.asdict(result))
    os.replace(temporary, workdir / FILE)


def load(workdir: pathlib.Path) -> MemberResult | None:
    """Read it; None where there is none."""
    path = workdir / FILE
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        return MemberResult(
            step=int(arrays["step"]),
            confusions=arrays["confusions"],
            timesteps=arrays["timesteps"],
            sweep=arrays["sweep"],
            question=str(arrays["question"]),
        )
