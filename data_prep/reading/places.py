"""Finds the scenes that show the same place (pure).

Scenes of one place are no independent samples: crops of one mosaic, dates of one ground, tiles that
touch. If a split divides a place, scores measure what was memorised; an interval that counts the
scenes of a place as independent is too narrow.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from data_prep.basics.dataset import SPLITS
from data_prep.basics.errors import UserError
from data_prep.imagery.grid import Grid
from data_prep.reading import georeference
from data_prep.reading.place_names import PlaceNames

Key = TypeVar("Key", bound=Hashable)

_MOST_NAMED = 3  # Most places that a warning names.


@dataclass(frozen=True)
class Evidence:
    """What is known about where a scene lies.

    Attributes:
      name: Name of the scene for users, in which --group_regex searches and which --places lists.
      site: Name of the site, given by the builder: scenes of one site show one place. It is
        unique to the scene if the builder knows nothing.
      grids: Where its images lie on Earth; images without a georeference are left out.
    """

    name: str
    site: str
    grids: tuple[Grid, ...] = ()


@dataclass(frozen=True)
class Places:
    """The places of a dataset.

    Attributes:
      of: Scene -> the name of its place.
      rule: How the places are known, or that they are unknown, as a clause.
      known: Whether the place of every scene is known.
      notes: Notes on what a user may not expect, one sentence each.
    """

    of: Mapping[Any, str]
    rule: str
    known: bool
    notes: tuple[str, ...] = ()


def find(
    evidence: Mapping[Key, Evidence],
    *,
    rule: str = "",
    named: PlaceNames | None = None,
    can_be_named: bool = True,
) -> Places:
    """Find the places that scenes show.

    Two scenes show one place if they have the same site, if the user names one place for both, if
    their footprints touch or overlap, or if a chain of such scenes leads from one to the other.

    Args:
      evidence: Scene -> what is known about it.
      rule: How the builder knows the grounds, as a clause; empty: it does not know them.
      named: The user's rule for places; None: there is none.
      can_be_named: Whether the builder has the options --group_regex and --places.

    Returns:
      The places. A place has the name that the user gave, else the name of its first site.

    Raises:
      UserError: The user names no place for any of the scenes.
    """
    groups = {key: named.place_of(one.name) if named else "" for key, one in evidence.items()}
    unnamed = sum(not group for group in groups.values())
    if named and unnamed == len(groups):
        first = next((one.name for one in evidence.values()), "")
        raise UserError(
            f"{named.option}: gives a place to none of {len(groups)} scenes, such as {first}"
        )
    numbers: dict[tuple[str, str] | Grid, int] = {}
    edges: list[tuple[int, int]] = []

    def number(node: tuple[str, str] | Grid) -> int:
        return numbers.setdefault(node, len(numbers))

    for key, one in evidence.items():
        site = number(("site", one.site))
        edges += [(site, number(grid)) for grid in one.grids]
        edges += [(site, number(("group", groups[key])))] if groups[key] else []
    grids = [node for node in numbers if isinstance(node, Grid)]
    touching = [(number(grids[i]), number(grids[j])) for i, j in georeference.touching(grids)]
    component = _components(len(numbers), edges + touching)
    place = {key: component[numbers["site", one.site]] for key, one in evidence.items()}
    names: dict[int, list[tuple[bool, str]]] = defaultdict(list)
    for key, one in evidence.items():
        names[place[key]].append((not groups[key], groups[key] or one.site))
    name_of = _distinct({index: min(found) for index, found in names.items()})
    known = bool(rule) or all(groups[key] or one.grids for key, one in evidence.items())
    clauses, notes = [rule] if rule else [], []
    if not known:
        clauses.append("places are not known: each scene counts as a place of its own")
        unplaced = sum(not (groups[key] or one.grids) for key, one in evidence.items())
        lacks = "no georeference" + (" and no place by their name" if named else "")
        how = "--group_regex=PATTERN or --places=FILE.csv says which scenes belong together"
        notes.append(
            f"places are not known: {unplaced} of {len(evidence)} scenes have {lacks} and count as"
            " places of their own, though they may show the same ground"
            + (f"; {how}" if can_be_named else "")
        )
    if named:
        clauses.append(named.rule)
        if unnamed:
            notes.append(
                f"{named.option} gives no place to {unnamed} of {len(groups)} scenes: each of these"
                " is a place of its own unless it touches another scene"
            )
    if grids:
        clauses.append("scenes whose footprints touch are one place")
    of = {key: name_of[index] for key, index in place.items()}
    return Places(of, "; ".join(clauses), known, tuple(notes))


def shared(splits: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Say which places lie in more than one split.

    Args:
      splits: The manifest's `splits`, with the place of each scene under `places`.

    Returns:
      A sentence; None if there is no such place.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for split in SPLITS:
        for place in sorted(set(splits.get(split, {}).get("places", ()))):
            found[place].append(split)
    several = {place: names for place, names in found.items() if len(names) > 1}
    if not several:
        return None
    named = [f"{place} in {', '.join(several[place])}" for place in sorted(several)[:_MOST_NAMED]]
    more = "; ..." if len(several) > _MOST_NAMED else ""
    number = "1 place lies" if len(several) == 1 else f"{len(several)} places lie"
    return (
        f"{number} in more than one split ({'; '.join(named)}{more}): scores there say nothing"
        " about places that training has not seen"
    )


def _distinct(names: Mapping[int, tuple[bool, str]]) -> dict[int, str]:
    """Name each place; quote a scene's name that is also the name of another place."""
    taken, found = {name for is_ground, name in names.values() if not is_ground}, {}
    for index, (is_ground, name) in names.items():
        while is_ground and name in taken:
            name = f"'{name}'"
        taken.add(name)
        found[index] = name
    return found


def _components(number: int, edges: Iterable[tuple[int, int]]) -> list[int]:
    """Return the connected component of each of `number` nodes."""
    rows, columns = np.array([*edges], int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(number, number))
    components: list[int] = connected_components(graph, directed=False)[1].tolist()
    return components
