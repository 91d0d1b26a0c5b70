"""The counts of one variant of a study."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from noise2map_jax.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class VariantScores:
    """The counts of one variant of a study.

    Attributes:
        name: name of the variant.
        seeds: S seeds that were trained to the end, without those that failed.
        confusions: [S, N, K, K] int64, one matrix a seed and record (or place, see
            `pool_places`); row = label, column = prediction; class 0 is the background.
    """

    name: str
    seeds: tuple[int, ...]
    confusions: np.ndarray

    def of_seeds(self, seeds: Sequence[int]) -> np.ndarray:
        """Return the confusions of some seeds, [len(seeds), N, K, K], in their order."""
        return self.confusions[[self.seeds.index(seed) for seed in seeds]]


def check_variants(variants: Sequence[VariantScores], places: Sequence[str]) -> None:
    """Raise if variants cannot be compared.

    Args:
        variants: the variants of one study.
        places: N names, the place of each record.

    Raises:
        UserError: there are no variants or records, a name or seed comes twice, or an array has
            the wrong shape.
    """
    if not variants:
        raise UserError("there are no variants to compare; expected at least one")
    if not places:
        raise UserError("there are no records to compare variants on; expected at least one")
    names = [variant.name for variant in variants]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"several variants have the name {', '.join(repeated)}; rename them")
    num_classes = np.shape(variants[0].confusions)[-1] if np.ndim(variants[0].confusions) else 0
    for variant in variants:
        name, seeds = variant.name, variant.seeds
        if len(set(seeds)) != len(seeds):
            raise UserError(f"variant {name!r} has seeds {list(seeds)}; expected each once")
        shape, expected = np.shape(variant.confusions), (len(seeds), len(places), num_classes)
        if shape != (*expected, num_classes) or num_classes < 2:
            raise UserError(
                f"variant {name!r} has confusions of shape {list(shape)}; expected "
                f"{[*expected, num_classes]}: seeds, records, and at least 2 classes twice"
            )


def pool_places(variant: VariantScores, places: Sequence[str]) -> VariantScores:
    """Add up the counts of the records of each place.

    Args:
        variant: a variant with confusions [S, N, K, K].
        places: N names, the place of each record.

    Returns:
        The variant with confusions [S, M, K, K], places sorted by name.
    """
    names, index = np.unique(list(places), return_inverse=True)
    pooled = [variant.confusions[:, index == m].sum(axis=1) for m in range(len(names))]
    return dataclasses.replace(variant, confusions=np.stack(pooled, axis=1))
