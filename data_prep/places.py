"""Which scenes show the same place (pure).

Scenes of one place are no independent samples: crops of one mosaic, dates of one ground, tiles that
touch. A split that divides a place measures what was memorised, and an interval over its scenes is
too narrow.
"""

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from data_prep import georeference
from data_prep.dataset import SPLITS
from data_prep.errors import UserError
from data_prep.geometry import Grid

Key = TypeVar("Key", bound=Hashable)

_MOST_NAMED = 3  # Places that lie in several splits, in a warning.


@dataclass(frozen=True)
class Evidence:
    """What is known of where a scene lies.

    Attributes:
      name: What --group_regex is searched in.
      ground: What the builder knows: scenes of one ground show one place. A name of its own where
        it knows nothing.
      grids: Where its images lie on Earth, as far as they say.
    """

    name: str
    ground: str
    grids: tuple[Grid, ...] = ()


@dataclass(frozen=True)
class Places:
    """The places of a dataset.

    Attributes:
      of: Scene -> the name of its place.
      rule: How they are known, or that they are not, as a clause.
      known: Whether anything says for each scene which place it shows.
      notes: What a user may not expect, one sentence each.
    """

    of: Mapping[Any, str]
    rule: str
    known: bool
    notes: tuple[str, ...] = ()


def find(
    evidence: Mapping[Key, Evidence],
    *,
    rule: str = "",
    group_regex: str | None = None,
    has_regex: bool = True,
) -> Places:
    """Find the places that scenes show.

    Two scenes show one place where they have the same ground, where their names give the same group
    of the regular expression, where their footprints touch or overlap, or where a chain of such
    scenes leads from one to the other.

    Args:
      evidence: Scene -> what is known of it.
      rule: How the builder knows grounds, as a clause; empty: it does not.
      group_regex: What is searched in the names; its first group names the place.
      has_regex: Whether the builder has the option --group_regex.

    Returns:
      The places. One is named by its first group, else by its first ground.

    Raises:
      UserError: No name matches the regular expression.
    """
    groups = {key: _group(group_regex, one.name) for key, one in evidence.items()}
    unmatched = sum(not group for group in groups.values())
    if group_regex is not None and unmatched == len(groups):
        first = next((one.name for one in evidence.values()), "")
        raise UserError(
            f"--group_regex={group_regex}: matches none of {len(groups)} names, such as {first}"
        )
    numbers: dict[str | Grid, int] = {}
    edges: list[tuple[int, int]] = []

    def number(node: str | Grid) -> int:
        return numbers.setdefault(node, len(numbers))

    for key, one in evidence.items():
        ground = number(one.ground)
        edges += [(ground, number(grid)) for grid in one.grids]
        edges += [(ground, number(groups[key]))] if groups[key] else []
    grids = [node for node in numbers if isinstance(node, Grid)]
    touching = [(number(grids[i]), number(grids[j])) for i, j in georeference.touching(grids)]
    component = _components(len(numbers), edges + touching)
    names: dict[int, list[tuple[bool, str]]] = defaultdict(list)
    for key, one in evidence.items():
        of_scene = component[numbers[one.ground]]
        names[of_scene].append((not groups[key], groups[key] or one.ground))
    name_of = {index: min(found)[1] for index, found in names.items()}
    known = bool(rule) or all(groups[key] or one.grids for key, one in evidence.items())
    clauses, notes = [rule] if rule else [], []
    if not known:
        clauses.append("places are not known: a scene counts as a place of its own")
        unplaced = sum(not (groups[key] or one.grids) for key, one in evidence.items())
        lacks = "no georeference" + ("" if group_regex is None else " and no group by their name")
        hint = "; --group_regex=PATTERN says which names belong together" if has_regex else ""
        notes.append(
            f"places are not known: {unplaced} of {len(evidence)} scenes have {lacks} and"
            f" count as places of their own, though they may show the same ground{hint}"
        )
    if group_regex is not None:
        clauses.append(f"names with the same first group of --group_regex={group_regex} are one")
        if unmatched:
            notes.append(
                f"{unmatched} of {len(groups)} names do not match --group_regex={group_regex}:"
                " each is a place of its own, unless it touches another"
            )
    if grids:
        clauses.append("scenes whose footprints touch are one")
    of = {key: name_of[component[numbers[one.ground]]] for key, one in evidence.items()}
    return Places(of, "; ".join(clauses), known, tuple(notes))


def shared(splits: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Say which places lie in more than one split.

    Args:
      splits: The entries of the manifest, with the place of each scene under `places`.

    Returns:
      A sentence; None where there are none.
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
        " about other places"
    )


def _group(pattern: str | None, name: str) -> str:
    """Return the first group of the pattern's first match; empty where there is none."""
    match = re.search(pattern, name) if pattern is not None else None
    return (match[1] or "") if match else ""


def _components(number: int, edges: Iterable[tuple[int, int]]) -> list[int]:
    """Return the connected component of each of `number` nodes."""
    rows, columns = np.array([*edges], int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(number, number))
    components: list[int] = connected_components(graph, directed=False)[1].tolist()
    return components
