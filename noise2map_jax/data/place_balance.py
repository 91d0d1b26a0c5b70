"""The order of training records where places with many records count for less than their share."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import grain
import numpy as np

LEAST_TURNS = 10  # of the smallest place in a round, so that shares are right to a twentieth
MOST_TURNS = 1_000_000  # of all places in a round


@dataclasses.dataclass(frozen=True)
class Turn(grain.transforms.MapWithIndex):
    """The turn of a place -> one of its records.

    Attributes:
        source: N records.
        orders: of each place, its record numbers in an order without end.
        turns: [P] the turns that each place has in a round.
        place_of: [L] the place of each turn of a round.
        rank_of: [L] its number among the turns of its place.
    """

    source: Sequence[Any]
    orders: Sequence[Sequence[int]]
    turns: np.ndarray
    place_of: np.ndarray
    rank_of: np.ndarray

    def map_with_index(self, index: int, element: int) -> Any:
        """Read the record of a turn of the round that `index` lies in."""
        place, finished_rounds = self.place_of[element], index // len(self.place_of)
        turn = finished_rounds * int(self.turns[place]) + int(self.rank_of[element])
        return self.source[int(self.orders[place][turn])]


def balanced_order(
    source: Sequence[Any], places: Sequence[str], power: float, seed: int
) -> grain.MapDataset[Any]:
    """Order records without end, so that a place with n of them is read n ** power times as often.

    The order is made of rounds, each shuffled anew, in which every place has the same number of
    turns. After any number of rounds, the records of one place were read equally often, up to one.

    Args:
        source: N records.
        places: [N] the place of each record.
        power: 1 = every record is read as often, 0 = every place is.
        seed: seed of the shuffling.

    Raises:
        ValueError: another number of places than of records.
    """
    if len(places) != len(source):
        raise ValueError(f"{len(places)} places of {len(source)} records; expected one of each")
    place_of_record = np.unique(np.asarray(places), return_inverse=True)[1]
    turns = turns_of_round(np.array(list(place_shares(places, power).values())))
    # A seed of its own for each place: those of one size would else go through one order.
    round_seed, *seeds = np.random.SeedSequence(seed).generate_state(1 + len(turns)).tolist()
    records = np.split(np.argsort(place_of_record, kind="stable"), np.cumsum(_counts(places))[:-1])
    orders = [
        grain.MapDataset.source(own).seed(own_seed).shuffle().repeat()
        for own, own_seed in zip(records, seeds, strict=True)
    ]
    rank_of = np.concatenate([np.arange(number) for number in turns])
    turn = Turn(source, orders, turns, np.repeat(np.arange(len(turns)), turns), rank_of)
    rounds = grain.MapDataset.range(int(turns.sum())).seed(round_seed).shuffle().repeat()
    return rounds.map_with_index(turn)


def turns_of_round(shares: np.ndarray) -> np.ndarray:
    """Return how often each place has its turn in a round, in proportion to its share.

    Args:
        shares: [P], of sum 1.

    Returns:
        [P] int64, 1 or more.
    """
    length = min(LEAST_TURNS / shares.min(), MOST_TURNS)
    return np.maximum(1, np.round(shares * length)).astype(np.int64)


def place_shares(places: Sequence[str], power: float) -> dict[str, float]:
    """Return the share of each place in what is read, by name, in the order of the names.

    Args:
        places: [N] the place of each record.
        power: see `balanced_order`.
    """
    weights = _counts(places).astype(np.float64) ** power
    names = np.unique(np.asarray(places)).tolist()
    return dict(zip(names, (weights / weights.sum()).tolist(), strict=True))


def _counts(places: Sequence[str]) -> np.ndarray:
    return np.unique(np.asarray(places), return_counts=True)[1].astype(np.int64)
