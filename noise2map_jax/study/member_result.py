"""The stored result of a trained member: counts on disk, from which all scores follow."""

import dataclasses
import json
import os
import pathlib

import numpy as np

# Studies compare on validation; a separate command opens test.
FILES = {"val": "result.npz", "test": "result_test.npz"}


@dataclasses.dataclass(frozen=True)
class MemberResult:
    """The counts for a member's best parameters.

    Attributes:
        step: the step of these parameters.
        confusions: [N, K, K] int64, one matrix a record of the evaluated split, at the member's
            inference timesteps.
        timesteps: [G] int32, the grid of the sweep.
        sweep: [G, K, K] int64, one matrix a timestep, over the same split.
        question: JSON of split, timesteps, data and noise draws; if it differs from the present
            one, the member is evaluated again.
    """

    step: int
    confusions: np.ndarray
    timesteps: np.ndarray
    sweep: np.ndarray
    question: str

    def is_as(self, other: "MemberResult") -> bool:
        """Whether both have the same parameters, data and noise draws; splits may differ."""
        own, others = (json.loads(result.question)[2:] for result in (self, other))
        return (self.step, own) == (other.step, others)


def save(result: MemberResult, workdir: pathlib.Path, split: str) -> None:
    """Write a result into a member's folder, completely or not at all."""
    workdir.mkdir(parents=True, exist_ok=True)
    temporary = workdir / f"{FILES[split]}.tmp"
    with temporary.open("wb") as file:
        np.savez_compressed(file, **dataclasses.asdict(result))
    os.replace(temporary, workdir / FILES[split])


def load(workdir: pathlib.Path, split: str) -> MemberResult | None:
    """Read the result on a split; None if there is none."""
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
