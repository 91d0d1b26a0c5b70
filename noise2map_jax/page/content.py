"""What a page shows, as plain data; every part that is empty is left out of the page."""

import dataclasses

import numpy as np

from noise2map_jax.page.curves import FieldScores, LearningCurve, Sweep
from noise2map_jax.page.network_costs import NetworkCosts

Interval = tuple[float, float]  # least and greatest


@dataclasses.dataclass(frozen=True)
class VariantScore:
    """Scores of one variant of a study, over its seeds; fractions of 1, NaN or None = unknown.

    Attributes:
        name: the variant.
        description: what sets it apart, such as the fields it overrides.
        seeds_done: runs that ended.
        seeds_asked: runs that were asked for.
        f1_mean: mean F1 of the foreground.
        f1_sd: its standard deviation over seeds.
        f1_interval: interval of the mean.
        f1_refusal: why there is none.
        f1_by_seed: F1 of each seed, drawn as dots; may be empty.
        iou_mean: mean IoU of the foreground.
        difference: of the mean F1 to that of the reference; None for the reference.
        difference_interval: interval of the difference: the one that decides.
        difference_refusal: why there is none.
        p_value: of the difference: adjusted for the number of comparisons, as its interval is.
        detectable: the least true difference that 4 of 5 such studies see.
        effect_size: of the difference: rank-biserial correlation, from -1 to 1.
        outcome: what the difference shows, in a few words.
        verdict: the same as a sentence with its figures; shown when asked for.
        rank: by F1, ties by IoU, see `rank_order`; the page fills it in.
    """

    name: str
    description: str
    seeds_done: int
    seeds_asked: int
    f1_mean: float
    f1_sd: float | None = None
    f1_interval: Interval | None = None
    f1_refusal: str = ""
    f1_by_seed: tuple[float, ...] = ()
    iou_mean: float | None = None
    difference: float | None = None
    difference_interval: Interval | None = None
    difference_refusal: str = ""
    p_value: float | None = None
    detectable: float | None = None
    effect_size: float | None = None
    outcome: str = ""
    verdict: str = ""
    rank: int | None = None


@dataclasses.dataclass(frozen=True)
class NoisedInputs:
    """What the network of a variant sees at several timesteps.

    Attributes:
        variant: its name.
        timesteps: G of them.
        images: [G, H, W, 3] uint8, or [G, 2, H, W, 3] for pairs.
    """

    variant: str
    timesteps: tuple[int, ...]
    images: np.ndarray


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What one variant predicts of a scene.

    Attributes:
        variant: its name.
        classes: [H, W] integer class indices.
        probability: [H, W] float from 0 to 1, of the foreground; None = not known.
        f1: of the foreground on this scene, fraction of 1.
    """

    variant: str
    classes: np.ndarray
    probability: np.ndarray | None = None
    f1: float | None = None


@dataclasses.dataclass(frozen=True)
class ScenePictures:
    """Pictures of one scene.

    Attributes:
        name: of the scene, or of a tile of it.
        images: one, or the earlier and the later one, [H, W, 3] uint8.
        truth: [H, W] integer class indices, 255 = ignored.
        predictions: one a variant.
    """

    name: str
    images: tuple[np.ndarray, ...]
    truth: np.ndarray
    predictions: tuple[Prediction, ...]


@dataclasses.dataclass(frozen=True)
class PlaceScores:
    """Mean F1 over seeds, of each place and variant.

    Attributes:
        places: N names; those of `ScenePictures` become links.
        variants: V names.
        f1: [N, V] fractions of 1; NaN where there is no foreground.
    """

    places: tuple[str, ...]
    variants: tuple[str, ...]
    f1: np.ndarray


@dataclasses.dataclass(frozen=True)
class Sample:
    """What scores were measured on.

    Attributes:
        split: its name.
        num_tiles: records.
        num_scenes: files they were cut from.
        num_places: M, what is resampled; as many as scenes where places are not known.
        places_known: whether it is known which scenes lie in one place.
    """

    split: str
    num_tiles: int
    num_scenes: int
    num_places: int
    places_known: bool

    @property
    def text(self) -> str:
        """The same in words."""
        tiles, scenes = f"{self.num_tiles} tiles", f"{self.num_scenes} scenes"
        if self.places_known:
            return f"{tiles} of {scenes} in {self.num_places} places of the split {self.split}"
        return (
            f"{tiles} of {scenes} of the split {self.split}; which of them lie in one place is not "
            "known: each is taken for a place of its own, and where some are neighbours the "
            "intervals are too narrow"
        )


@dataclasses.dataclass(frozen=True)
class Ranking:
    """The scores of all variants on a split.

    Attributes:
        variants: in the order that colours are given in; the page ranks them, see `rank_order`.
        sample: what they were measured on.
        num_compared: for how many differences their intervals hold together.
        note: what must be known of them.
    """

    variants: tuple[VariantScore, ...]
    sample: Sample
    num_compared: int = 1
    note: str = ""


@dataclasses.dataclass(frozen=True)
class ClassScore:
    """Scores of one class, fractions of 1; NaN = its denominator was 0."""

    name: str
    f1: float
    iou: float
    precision: float
    recall: float


@dataclasses.dataclass(frozen=True)
class StudyPage:
    """The page of a study: variants compared with a reference.

    Attributes:
        title: heading of the page.
        protocol: what the scores were measured on, one line.
        command: that makes the study again.
        config: its text.
        reference: name of the variant that all others are compared with.
        ranking: on validation, by which variants are compared.
        test_note: whether test was opened, and when.
        classes: K names, the background first.
        final: on test; None where it was not opened for these variants.
        notes: what went wrong or must be known, one line each.
        sweeps: F1 by timestep.
        curves: of every run.
        noised: what the networks see.
        pictures: scenes that are shown.
        pictures_note: what the pictures are of, such as a seed.
        place_scores: F1 by place.
        costs: what networks cost, where variants differ in them.
        field_scores: F1 over the values of a field, where the study asks for it.
    """

    title: str
    protocol: str
    command: str
    config: str
    reference: str
    ranking: Ranking
    test_note: str
    classes: tuple[str, ...]
    final: Ranking | None = None
    notes: tuple[str, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    curves: tuple[LearningCurve, ...] = ()
    noised: tuple[NoisedInputs, ...] = ()
    pictures: tuple[ScenePictures, ...] = ()
    pictures_note: str = ""
    place_scores: PlaceScores | None = None
    costs: NetworkCosts | None = None
    field_scores: FieldScores | None = None


@dataclasses.dataclass(frozen=True)
class StepPart:
    """A part of a recorded training step.

    Attributes:
        name: module of the network, or what else the step does; with its direction.
        milliseconds: its time a step.
        share: of the whole step, a fraction of 1.
    """

    name: str
    milliseconds: float
    share: float


@dataclasses.dataclass(frozen=True)
class RunPage:
    """The page of one run; attributes as those of `StudyPage`.

    Attributes:
        scores: one a class, and rows such as their mean.
        samples: what a denoiser draws from noise, by the step at which it did: [H, W, 3] uint8.
        profile: where the time of a recorded step went, the largest part first; empty if no step
            was recorded.
    """

    title: str
    protocol: str
    command: str
    config: str
    scores: tuple[ClassScore, ...]
    classes: tuple[str, ...]
    samples: tuple[tuple[int, np.ndarray], ...] = ()
    profile: tuple[StepPart, ...] = ()
    notes: tuple[str, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    curves: tuple[LearningCurve, ...] = ()
    noised: tuple[NoisedInputs, ...] = ()
    pictures: tuple[ScenePictures, ...] = ()
    pictures_note: str = ""
