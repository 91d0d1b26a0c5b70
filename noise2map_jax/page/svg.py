"""Figures of matplotlib as SVG within a page: its font, its colours, light or dark."""

import io
import re
import warnings
import xml.etree.ElementTree as ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from noise2map_jax.page.series import CSS_COLOURS

MUTED, GRID = "#010204", "#010205"  # stand for colours of the page's style
WIDTH = 5.0  # inches; at the 72 units an inch of SVG, text is legible on a phone, too
_COLOURS = CSS_COLOURS | {MUTED: "var(--muted)", GRID: "var(--grid)"}
_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "noise2map_jax"}
_SERIES = re.compile(r"series-(\d+)")
_REFERENCE = re.compile(r"#([\w.-]+)")


def create_figure(height: float) -> Figure:
    """Create an empty figure of a page.

    Args:
        height: in inches.

    Returns:
        The figure, `WIDTH` inches wide, without a background.
    """
    return Figure(figsize=(WIDTH, height), layout="constrained", facecolor="none")


def style_axes(axes: Axes, x_label: str, y_label: str, grid: str = "both") -> None:
    """Give axes the looks of the page.

    Args:
        axes: to be styled.
        x_label: with its unit; empty for axes that share the one below.
        y_label: with its unit.
        grid: x, y or both.
    """
    axes.set_facecolor("none")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(color=GRID, labelcolor=MUTED, labelsize=9)
    axes.grid(visible=True, axis=grid, color=GRID, linewidth=0.6)  # type: ignore[arg-type]
    axes.set_xlabel(x_label, color=MUTED, fontsize=9.5)
    axes.set_ylabel(y_label, color=MUTED, fontsize=9.5)


def to_svg(figure: Figure, key: str, label: str) -> Markup:
    """Turn a figure into SVG to be put into HTML.

    Artists whose gid is `series-N` become groups of the class `series` with `data-series="N"`.

    Args:
        figure: in the colours above, without a name in the syntax of mathematics.
        key: unique on the page, the beginning of all ids.
        label: what is read to those who do not see it.

    Returns:
        An `svg` element; the same figure gives the same text.
    """
    buffer = io.BytesIO()
    # matplotlib has no other way to state these two; they are put back.
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():  # type: ignore[arg-type]
        # The fonts of the browser draw the text, whatever glyphs the one that measures it lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    view_box = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update(
        {"viewBox": view_box, "role": "img", "aria-label": label, "stroke-linejoin": "round"}
    )
    _simplify(root, key)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _simplify(root: ElementTree.Element, key: str) -> None:
    """Drop namespaces, metadata and ids that nothing refers to; rename the others."""
    for parent in root.iter():
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    values = [v for e in root.iter() for n, v in e.attrib.items() if _refers(n, v)]
    targets = dict.fromkeys(target for v in values for target in _REFERENCE.findall(v))
    ids = {target: f"{key}-{number}" for number, target in enumerate(targets)}
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.tail = None
        if element.tag != "text":
            element.text = None
        attributes = _simplify_attributes(element.attrib, ids)
        element.attrib.clear()
        element.attrib.update(attributes)


def _simplify_attributes(attributes: dict[str, str], ids: dict[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    for full_name, value in attributes.items():
        name = full_name.rpartition("}")[2]
        if name == "id":
            if match := _SERIES.match(value):
                kept |= {"class": "series", "data-series": match[1]}
            if value in ids:
                kept["id"] = ids[value]
        elif _refers(name, value):
            kept[name] = _REFERENCE.sub(lambda match: f"#{ids[match[1]]}", value)
        elif name == "style":
            kept[name] = _restyle(value)
        else:
            kept[name] = " ".join(value.split())
    return kept


def _refers(name: str, value: str) -> bool:
    """Whether an attribute points at an id."""
    return name.endswith("href") or value.startswith("url(#")


def _restyle(style: str) -> str:
    """Colours and font of the page in place of those of the figure."""
    for colour, css in _COLOURS.items():
        style = style.replace(colour, css)
    return re.sub(r"font-family: [^;]*;? ?", "", style)
