"""What a page of measurements shows, as plain data: tables of numbers, and lines over a number."""

import dataclasses
from collections.abc import Mapping, Sequence

from noise2map_jax.page.content import NoisedInputs, ScenePictures
from noise2map_jax.page.curves import LearningCurve, Sweep

Cell = float | str | None  # None = there is none


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: its title.
        note: a unit, under the title.
        numeric: whether its cells are numbers.
    """

    title: str
    note: str = ""
    numeric: bool = True


@dataclasses.dataclass(frozen=True)
class Table:
    """A table; the first column names the rows.

    Attributes:
        title: above the table; empty = none.
        columns: C columns.
        rows: cells, C in a row.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclasses.dataclass(frozen=True)
class LinePlot:
    """Lines over a number that doubles, such as the size of a batch.

    Attributes:
        x_label: of the number.
        y_label: with its unit.
        lines: points (x, y) by the name of the line.
    """

    x_label: str
    y_label: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


@dataclasses.dataclass(frozen=True)
class Shown:
    """What was measured of one thing.

    Attributes:
        note: what must be known of the numbers.
        tables: of the numbers; those without rows are left out.
        plots: of the numbers; those without lines are left out.
    """

    note: str = ""
    tables: tuple[Table, ...] = ()
    plots: tuple[LinePlot, ...] = ()


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        key: unique on the page, of letters.
        title: its title.
        missing: why there is nothing or not all; empty = all is there.
        shown: what was measured.
    """

    key: str
    title: str
    missing: str
    shown: Shown


@dataclasses.dataclass(frozen=True)
class Fact:
    """A number at the top of the page, with what it is and a detail."""

    title: str
    value: str
    detail: str


@dataclasses.dataclass(frozen=True)
class MeasurementsPage:
    """A page of measurements; attributes that are not here are as those of `RunPage`.

    Attributes:
        facts: the numbers that matter most.
        sections: all that was measured, and what was not.
    """

    title: str
    protocol: str
    command: str
    config: str
    facts: tuple[Fact, ...]
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
    curves: tuple[LearningCurve, ...] = ()
    scores: tuple[()] = ()
    classes: tuple[str, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    noised: tuple[NoisedInputs, ...] = ()
    pictures: tuple[ScenePictures, ...] = ()
