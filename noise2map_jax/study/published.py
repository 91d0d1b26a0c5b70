"""Scores that others published, beside a ranking of ours: without rank, each with its protocol."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from noise2map_jax.errors import UserError
from noise2map_jax.study.result_row import ResultRow

MARK = "published"


class PublishedMethod(NamedTuple):
    """A method with the scores of one source and one protocol.

    Attributes:
        name: name of the method.
        note: number of the note that states protocol and source.
        protocol: what the scores were measured on.
        source: where they were published.
        f1_by_dataset: F1 in percent.
    """

    name: str
    note: int
    protocol: str
    source: str
    f1_by_dataset: dict[str, float]


def published_methods(rows: Iterable[ResultRow], datasets: set[str]) -> list[PublishedMethod]:
    """Gather published scores, one entry for each method, protocol and source.

    Args:
        rows: published scores.
        datasets: those that are ranked; scores of others are left out, see `not_shown`.

    Raises:
        UserError: there are two scores of one method on one dataset, of one protocol and source.
    """
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in rows:
        if row.dataset not in datasets:
            continue
        assert row.protocol is not None  # a published score without one is not read
        assert row.published is not None
        f1 = found.setdefault((row.protocol, row.published, row.method), {})
        if row.dataset in f1:
            raise UserError(
                f"{row.method} has two published scores on {row.dataset} of one protocol "
                f"({row.protocol}); leave one out"
            )
        f1[row.dataset] = row.f1
    notes = {own: i for i, own in enumerate(dict.fromkeys(key[:2] for key in found), start=1)}
    methods = [
        PublishedMethod(method, notes[protocol, source], protocol, source, f1)
        for (protocol, source, method), f1 in found.items()
    ]
    return sorted(methods, key=lambda method: (method.note, method.name))


def published_cells(methods: Iterable[PublishedMethod], datasets: list[str]) -> list[list[str]]:
    """Write a row for each, as those of the ranking: no rank, no means, F1 by dataset."""
    return [
        [
            MARK,
            f"{m.name} [{m.note}]",
            "",
            "",
            *(_percent(m.f1_by_dataset.get(d)) for d in datasets),
        ]
        for m in methods
    ]


def published_notes(methods: Iterable[PublishedMethod]) -> list[str]:
    """Write protocol and source of each note once."""
    return list(
        dict.fromkeys(
            f"[{m.note}] published, not measured here: {m.protocol} ({m.source})" for m in methods
        )
    )


def not_shown(rows: Iterable[ResultRow], datasets: set[str]) -> list[str]:
    """Say which datasets have published scores, but none that is ranked."""
    others = sorted({row.dataset for row in rows} - datasets)
    return [
        f"published scores on {', '.join(others)} are not shown: nothing is ranked there"
    ] * bool(others)


def _percent(f1: float | None) -> str:
    return "" if f1 is None or math.isnan(f1) else f"{f1:.2f}"
