"""Divides scenes among splits (pure). Scenes of one place always stay together."""

import hashlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from data_prep.basics.dataset import SPLITS
from data_prep.basics.errors import UserError

Key = TypeVar("Key", bound=Hashable)


def shuffled(groups: Iterable[str], seed: int) -> list[str]:
    """Return the groups in an order that depends on the seed and on each name alone.

    The order is by a hash, not a shuffle of the list: when a place is added, the others keep their
    order, so a grown dataset keeps nearly all its places in their splits.
    """
    return sorted(
        set(groups), key=lambda name: (hashlib.sha256(f"{seed}/{name}".encode()).digest(), name)
    )


def assign(
    groups: Iterable[str], fractions: Sequence[float], seed: int, hint: str = ""
) -> dict[str, str]:
    """Divide groups of scenes among train, val and test.

    Args:
      groups: Names of the groups that must stay together, which are places.
      fractions: Shares of train, val and test; their sum is 1.
      seed: Seed of the order.
      hint: What else can be done if there are fewer groups than splits, as a clause.

    Returns:
      Group -> split. Every split with a share above 0 gets at least one group.

    Raises:
      UserError: There are fewer groups than splits.
    """
    order = shuffled(groups, seed)
    wanted = [name for name, share in zip(SPLITS, fractions, strict=True) if share > 0]
    if len(order) < len(wanted):
        raise UserError(
            f"{len(order)} place(s) cannot be divided into {', '.join(wanted)}: at least"
            f" {len(wanted)} are needed ({f'{hint}; ' if hint else ''}--splits=1,0,0 puts all in"
            " train)"
        )
    counts = {
        name: max(1, round(share * len(order))) if share > 0 else 0
        for name, share in zip(SPLITS, fractions, strict=True)
    }
    # The largest split absorbs the rounding, so that small splits keep at least one group.
    largest = max(wanted, key=lambda name: counts[name])
    counts[largest] += len(order) - sum(counts.values())
    names = [name for name in SPLITS for _ in range(counts[name])]
    return dict(zip(order, names, strict=True))


def in_words(shares: Sequence[float]) -> str:
    """Return the shares of train, val and test as text: 70 % train, 10 % val, 20 % test."""
    return ", ".join(f"{100 * s:g} % {n}" for n, s in zip(SPLITS, shares, strict=True))


def with_validation(
    split_of: Mapping[Key, str],
    group_of: Mapping[Key, str],
    fractions: Sequence[float],
    seed: int,
    what: str,
) -> tuple[dict[Key, str], str]:
    """Cut val from train if the source has train but no val; test stays as it is.

    Args:
      split_of: Scene -> split, as in the source.
      group_of: Scene -> its group, which must stay in one split.
      fractions: Shares of train, val and test; 1, 0, 0 cuts nothing.
      seed: Seed of the order.
      what: Word for the groups, in the plural.

    Returns:
      Scene -> split, and the rule as a clause; the rule is empty if nothing was cut.

    Raises:
      UserError: Train cannot be divided.
    """
    names = set(split_of.values())
    if "train" not in names or "val" in names or fractions[0] == 1:
        return dict(split_of), ""
    train = {group_of[scene] for scene, split in split_of.items() if split == "train"}
    val = cut_validation(train, fractions, seed)
    cut = {
        scene: "val" if split == "train" and group_of[scene] in val else split
        for scene, split in split_of.items()
    }
    rule = (
        f"; the source has no val: {len(val)} of {len(train)} train {what} became val, in the order"
        f" of a hash of seed {seed} and the name"
    )
    return cut, rule


def cut_validation(train: Iterable[str], fractions: Sequence[float], seed: int) -> set[str]:
    """Choose the groups of train that become val, for a source without a val folder.

    Args:
      train: Groups of the source's train folder.
      fractions: Shares of train, val and test; val takes val / (train + val) of the groups.
      seed: Seed of the order.

    Returns:
      The chosen groups: at least one, never all.

    Raises:
      UserError: Train has fewer than two groups, or its share is 0.
    """
    order = shuffled(train, seed)
    if len(order) < 2:
        raise UserError(
            f"the source has no val folder, and train has {len(order)} place(s): at least 2 are"
            " needed to cut a val split from train (--splits=1,0,0 leaves all in train)"
        )
    if not fractions[0]:
        raise UserError(
            f"the source has no val folder, and --splits={','.join(f'{s:g}' for s in fractions)}"
            " leaves nothing to train: the share val/(train+val) of train becomes val"
        )
    share = fractions[1] / (fractions[0] + fractions[1])
    number = min(len(order) - 1, max(1, round(share * len(order))))
    return set(order[:number])
