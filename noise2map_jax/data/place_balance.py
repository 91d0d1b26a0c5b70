"""The order of training records where places with many records count for less than their share."""

from collections.abc import Sequence
from typing import Any

import grain
import numpy as np

from noise2map_jax.data.scene_share import SomeRecords


def balanced_order(
    source: Sequence[Any], places: Sequence[str], power: float, seed: int
) -> grain.MapDataset[Any]:
    """Order records without end so that places take turns.

    A place with n records gives a share of n ** power / sum(n ** power) of what is read. Its own
    records are shuffled, and all of them are read before one is read again.

    Args:
        source: N records.
        places: [N] the place of each record.
        power: 1 = every record is read as often, 0 = every place is.
        seed: seed of the shuffling.
    """
    names, place_of = np.unique(np.asarray(places), return_inverse=True)
    shares = place_shares(places, power)
    # A seed of its own for each place: those of one size would else go through one order.
    seeds = np.random.SeedSequence(seed).generate_state(len(names))
    orders = [
        grain.MapDataset.source(SomeRecords(source, np.flatnonzero(place_of == i)))
        .seed(int(own_seed))
        .shuffle()
        .repeat()
        for i, own_seed in enumerate(seeds)
    ]
    return grain.MapDataset.mix(orders, [shares[name] for name in names.tolist()])


def place_shares(places: Sequence[str], power: float) -> dict[str, float]:
    """Return the share of each place in what is read, by name.

    Args:
        places: [N] the place of each record.
        power: see `balanced_order`.
    """
    names, counts = np.unique(np.asarray(places), return_counts=True)
    weights = counts.astype(np.float64) ** power
    return dict(zip(names.tolist(), (weights / weights.sum()).tolist(), strict=True))
