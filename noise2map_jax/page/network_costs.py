"""What networks cost, as a page and tables show it."""

import dataclasses
from typing import NamedTuple


class Rate(NamedTuple):
    """Images a second: the median of repeated measurements, the least and the most of them."""

    median: float
    least: float
    most: float


@dataclasses.dataclass(frozen=True)
class NetworkCost:
    """What the network of one variant costs.

    Attributes:
        variant: its name.
        parameters: number of parameters, without the statistics of batch normalisation.
        flops: arithmetic of a forward pass of one image, one multiply-add = 2.
        image_size: side of that image in pixels.
        training: speed of the training step, optimiser and all.
        train_batch: images of such a step.
        train_size: side of its images in pixels.
        prediction: speed of the evaluation step, at the variant's timesteps and noise draws.
        predict_batch: images of such a step.
        passes: passes through the network for one image of prediction: timesteps times draws.
        train_memory: bytes of a device that the training step needs: arguments, temporary arrays
            and outputs that take no argument's place.
    """

    variant: str
    parameters: int
    flops: float
    image_size: int
    training: Rate
    train_batch: int
    train_size: int
    prediction: Rate
    predict_batch: int
    passes: int
    train_memory: int


@dataclasses.dataclass(frozen=True)
class NetworkCosts:
    """What the networks of a study cost, all measured in one run.

    Attributes:
        rows: one a variant.
        repeats: number of measurements that each rate is the median of.
        machine: where, when and with what they were measured.
        command: that measured them.
    """

    rows: tuple[NetworkCost, ...]
    repeats: int
    machine: str
    command: str

    @property
    def note(self) -> str:
        """What the numbers are, in words."""
        return (
            f"{self._sizes} Forward pass: arithmetic of one image as XLA counts it before it "
            "compiles, a multiply-add as 2, one timestep. Training: the compiled step with the "
            "optimiser, without reading data. Prediction: the evaluation step"
            f"{self._passes}. Memory: what the compiled training step needs on a device, arguments "
            f"and temporary arrays. Speeds are medians of {self.repeats} measurements (in brackets "
            "the least and the most), in which the networks took turns, on all devices of "
            f"{self.machine}. Variants of one network share its numbers."
        )

    @property
    def _sizes(self) -> str:
        sizes = {
            (cost.train_batch, cost.train_size, cost.predict_batch, cost.image_size)
            for cost in self.rows
        }
        if len(sizes) > 1:
            return "Batches differ in size, see costs.csv."
        ((train_batch, train_size, predict_batch, size),) = sizes
        return (
            f"Training on batches of {train_batch} images of {train_size} x {train_size} pixels, "
            f"prediction of {predict_batch} of {size} x {size}."
        )

    @property
    def _passes(self) -> str:
        several = [f"{cost.variant} {cost.passes}" for cost in self.rows if cost.passes > 1]
        return f", with several passes an image ({', '.join(several)})" if several else ""
