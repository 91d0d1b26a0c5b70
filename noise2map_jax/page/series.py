"""How a variant is drawn: the same colour, dashes and marker in every plot and legend."""

import dataclasses
from collections.abc import Iterable

NEUTRAL = "#010203"  # stands for the colour of the text, light or dark; see `svg`
# Of Okabe and Ito, told apart with every kind of colour vision; their yellow is too light on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
CSS_COLOURS = {NEUTRAL: "currentColor", "#0072b2": "var(--blue)"}  # those that are lighter on dark
DASHES = ("", "5 2", "1.5 1.5", "7 2 1.5 2")
# Markers of matplotlib, and the same as paths in a square from -1 to 1.
MARKERS = {
    "o": "M-1 0a1 1 0 1 0 2 0a1 1 0 1 0-2 0z",
    "s": "M-.85-.85h1.7v1.7h-1.7z",
    "^": "M0-1L1 .9H-1z",
    "D": "M0-1.1L1.1 0L0 1.1L-1.1 0z",
    "v": "M0 1L1-.9H-1z",
    "P": "M-.35-1h.7v.65h.65v.7h-.65v.65h-.7v-.65h-.65v-.7h.65z",
}


@dataclasses.dataclass(frozen=True)
class Series:
    """How one variant is drawn.

    Attributes:
        name: the variant.
        number: its place, unique on a page.
        colour: #rrggbb.
        dashes: lengths on and off as in SVG, in units of the line's width; empty = solid.
        marker: a key of `MARKERS`.
        is_reference: whether the others are compared with it.
    """

    name: str
    number: int
    colour: str
    dashes: str
    marker: str
    is_reference: bool = False

    @property
    def linestyle(self) -> str | tuple[float, tuple[float, ...]]:
        """The dashes for matplotlib."""
        return (0, tuple(map(float, self.dashes.split()))) if self.dashes else "solid"

    @property
    def css_colour(self) -> str:
        """The colour for HTML."""
        return CSS_COLOURS.get(self.colour, self.colour)

    @property
    def marker_path(self) -> str:
        """The marker for SVG."""
        return MARKERS[self.marker]


def create_series(names: Iterable[str], reference: str | None = None) -> dict[str, Series]:
    """Choose how variants are drawn.

    Args:
        names: of the variants, repeated or not; colours are given in this order, so that they stay
            when the ranking changes.
        reference: drawn in the colour of the text.

    Returns:
        {name: how it is drawn}.
    """
    series: dict[str, Series] = {}
    given = 0
    for name in dict.fromkeys(names):
        if name == reference:
            series[name] = Series(name, len(series), NEUTRAL, "", "o", is_reference=True)
            continue
        markers = tuple(MARKERS)
        # The marker changes once more after each round of colours.
        marker = markers[(given + 1 + given // len(COLOURS)) % len(markers)]
        dashes = DASHES[given // len(COLOURS) % len(DASHES)]
        series[name] = Series(name, len(series), COLOURS[given % len(COLOURS)], dashes, marker)
        given += 1
    return series
