"""The scores of one method on one dataset."""

from typing import NamedTuple


class ResultRow(NamedTuple):
    """The scores of one method on one dataset.

    Attributes:
        method: name of the method.
        dataset: task and dataset, such as "ss whu"; scores are compared only within one of these.
        f1: foreground F1 in percent; NaN if it is not defined: no foreground is labelled.
        iou: foreground IoU in percent; NaN with `f1`.
        protocol: one line about the data and classes scored; this and the next three fields are
            None if a table does not have them.
        records: digest of the dataset.
        timesteps: timesteps of prediction, as text.
        draws: number of Gaussian noise draws that predictions average; 0 = no such noise.
        differs: fields in which the evaluation of a run differs from its training.
        published: where others published the scores; None for scores that were measured here.
            Published ones have a protocol, and maybe no IoU (NaN).
    """

    method: str
    dataset: str
    f1: float
    iou: float
    protocol: str | None = None
    records: str | None = None
    timesteps: str | None = None
    draws: int | None = None
    differs: tuple[str, ...] = ()
    published: str | None = None
