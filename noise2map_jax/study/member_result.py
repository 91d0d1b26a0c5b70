"""What is kept of a trained member of a study: counts on disk, from which all else follows."""

import dataclasses
import json
import os
import pathlib

import numpy as np

# By split: studies compare on validation; test is opened by a command of its own.
FILES = {"val": "result.npz", "test": "result_test.npz"}


@dataclasses.dataclass(frozen=True)
class MemberResult:
    """What was counted of a member's best parameters.

    Attributes:
        step: that they are of.
        confusions: [N, K, K] int64, one matrix a record of the evaluated split, at the member's
            inference timesteps.
        timesteps: [G] int32, the grid of the sweep.
        sweep: [G, K, K] int64, one matrix a timestep, over the same split.
        question: what was asked: split, timesteps and data; another one is asked anew.
    """

    step: int
    confusions: np.ndarray
    timesteps: np.ndarray
    sweep: np.ndarray
    question: str

    def is_as(self, other: "MemberResult") -> bool:
        """Whether both are of the same parameters, data and draws of noise, on whatever split."""
        own, others = (json.loads(result.question)[2:] for result in (self, other))
        return (self.step, own) == (other.step, others)


def save(result: MemberResult, workdir: pathlib.Path, split: str) -> None:
    """Write what was counted on a split into a member's folder, whole or not at all."""
    workdir.mkdir(parents=True, exist_ok=True)
    temporary = workdir / f"{FILES[split]}.tmp"
    with temporary.open("wb") as file:
        np.savez_compressed(file, **dataclasses.asdict(result))
    os.replace(temporary, workdir / FILES[split])


def load(workdir: pathlib.Path, split: str) -> MemberResult | None:
    """Read what was counted on a split; None where nothing was."""
    path = workdir / FILES[split]
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
