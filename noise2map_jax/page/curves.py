"""What the plots of pages draw, as plain data: F1 over a number, and learning curves."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Validation F1 of one variant over the timestep of prediction.

    Attributes:
        variant: its name.
        timesteps: [G] int, t of prediction, ascending.
        f1: [S, G] fractions of 1, a row a seed.
        contrast: [T], |signal - noise| / (signal + noise) at each t; None where it says nothing,
            as for single images.
        schedule: name of the noise schedule; curves of the same values are drawn once.
    """

    variant: str
    timesteps: np.ndarray
    f1: np.ndarray
    contrast: np.ndarray | None = None
    schedule: str = ""


@dataclasses.dataclass(frozen=True)
class ScoreLine:
    """Validation F1 of variants that differ in one field alone.

    Attributes:
        name: what their names share.
        points: the field's value, ascending, and F1 by seed, fractions of 1.
    """

    name: str
    points: tuple[tuple[float, tuple[float, ...]], ...]


@dataclasses.dataclass(frozen=True)
class FieldScores:
    """Validation F1 over the values of a field, such as the length of training.

    Attributes:
        field: its name.
        lines: one for each kind of variant.
    """

    field: str
    lines: tuple[ScoreLine, ...]


@dataclasses.dataclass(frozen=True)
class LearningCurve:
    """How one run learnt.

    Attributes:
        variant: name of its variant; of a single run what it is called.
        seed: its seed.
        loss_steps: [N] int, training steps.
        loss: [N] loss of training; NaN leaves a gap.
        f1_steps: [M] int, training steps.
        f1: [M] F1 of the foreground on validation, fractions of 1.
    """

    variant: str
    seed: int
    loss_steps: np.ndarray
    loss: np.ndarray
    f1_steps: np.ndarray
    f1: np.ndarray
