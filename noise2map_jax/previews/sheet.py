"""The sheet of a preview: title, panels, legend, scale bar and north arrow, by Pillow."""

import dataclasses
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from noise2map_jax.previews.scale_bar import ScaleBar

_EDGE, _GAP = 20, 14  # around the sheet; between panels
_TITLE, _CAPTION = 58, 22  # heights of lines of text
_ROW, _SWATCH = 26, 16  # of the legend
_NARROWEST = 560  # pixels, so that a title and a scale bar have room
_NARROWEST_PANEL = 190  # likewise, so that a caption has
_SIDE = 290  # width of scale bar and north arrow together
_INK, _PALE = (34, 34, 34), (110, 110, 110)
_ELLIPSIS = "..."


@dataclasses.dataclass(frozen=True)
class Sheet:
    """What is drawn on the sheet.

    Attributes:
        title: the line on top.
        subtitle: the line under it.
        panels: [H, W, 3] uint8 and caption of each; all of one size.
        columns: panels side by side.
        legend: colour and name of each class.
        bar: the scale bar.
        north: (right, down), the direction of north in the panels; None: not known.
    """

    title: str
    subtitle: str
    panels: list[tuple[np.ndarray, str]]
    columns: int
    legend: list[tuple[tuple[int, int, int], str]]
    bar: ScaleBar
    north: tuple[float, float] | None


def draw_sheet(sheet: Sheet) -> Image.Image:
    """Draw the sheet."""
    height, width = sheet.panels[0][0].shape[:2]
    step = max(width, _NARROWEST_PANEL) + _GAP
    inside = max(sheet.columns * step - _GAP, _NARROWEST)
    rows = -(-len(sheet.panels) // sheet.columns)
    foot = _EDGE + _TITLE + rows * (_CAPTION + height + _GAP)
    places, legend_height = _legend_places(sheet.legend, inside - _SIDE)
    size = (inside + 2 * _EDGE, foot + max(legend_height, 64) + _EDGE)
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    _text(draw, (_EDGE, _EDGE - 4), sheet.title, 22, inside)
    _text(draw, (_EDGE, _EDGE + 27), sheet.subtitle, 13, inside, _PALE)
    for index, (panel, caption) in enumerate(sheet.panels):
        x = _EDGE + index % sheet.columns * step
        y = _EDGE + _TITLE + index // sheet.columns * (_CAPTION + height + _GAP)
        _text(draw, (x, y), caption, 14, step - _GAP)
        picture.paste(Image.fromarray(panel), (x, y + _CAPTION))
        frame = (x - 1, y + _CAPTION - 1, x + width, y + _CAPTION + height)
        draw.rectangle(frame, outline=_PALE)
    for (x, y), (colour, name) in zip(places, sheet.legend, strict=True):
        box = (_EDGE + x, foot + y + 4, _EDGE + x + _SWATCH, foot + y + 4 + _SWATCH)
        draw.rectangle(box, fill=colour, outline=_PALE)
        _text(draw, (box[2] + 7, foot + y + 2), name, 15, inside - _SIDE - _SWATCH - 7)
    right = _EDGE + inside
    if sheet.north:
        _draw_north(draw, (right - 26, foot + 34), sheet.north)
        right -= 62
    _draw_bar(draw, (right - sheet.bar.pixels, foot + 30), sheet.bar)
    return picture


def _draw_bar(draw: ImageDraw.ImageDraw, place: tuple[float, float], bar: ScaleBar) -> None:
    """Draw a bar of a dark and a white half; the label stands over its end."""
    (left, top), middle = place, place[0] + bar.pixels / 2
    right = left + bar.pixels
    draw.rectangle((left, top, right, top + 7), fill="white", outline=_INK)
    draw.rectangle((left, top, middle, top + 7), fill=_INK)
    draw.text((left, top - 5), "0", fill=_INK, font=_font(14), anchor="ls")
    draw.text((right, top - 5), bar.label, fill=_INK, font=_font(14), anchor="rs")


def _draw_north(
    draw: ImageDraw.ImageDraw, middle: tuple[float, float], north: tuple[float, float]
) -> None:
    """Draw an arrow with an N at its point."""
    along, across = np.array(north), np.array([-north[1], north[0]])
    centre = np.array(middle)
    tip, notch = centre + 15 * along, centre - 8 * along
    for side, fill in ((1, "white"), (-1, _INK)):
        wing = centre - 15 * along + side * 9 * across
        draw.polygon([tuple(tip), tuple(wing), tuple(notch)], fill=fill, outline=_INK)
    draw.text(tuple(centre + 25 * along), "N", fill=_INK, font=_font(15), anchor="mm")


def _legend_places(
    legend: list[tuple[tuple[int, int, int], str]], room: float
) -> tuple[list[tuple[int, int]], int]:
    """Return where each entry lies, in as many lines as needed, and the height of all."""
    places, x, y = [], 0, 0
    for _, name in legend:
        width = min(_SWATCH + 7 + math.ceil(_font(15).getlength(name)) + 22, int(room))
        if x and x + width > room:
            x, y = 0, y + _ROW
        places.append((x, y))
        x += width
    return places, y + _ROW


def _text(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: int,
    room: float,
    colour: tuple[int, int, int] = _INK,
) -> None:
    """Write a line, which is shortened in its middle to fit."""
    font = _font(size)
    kept = len(text)
    shown = text
    while kept and font.getlength(shown) > room:
        kept -= 1
        shown = text[: -(-kept // 2)] + _ELLIPSIS + text[len(text) - kept // 2 :]
    draw.text(place, shown, fill=colour, font=font)


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
