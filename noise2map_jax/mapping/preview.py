"""A picture of a map for people: images, map, outlines, legend, scale bar and north arrow."""

import math
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data_prep.imagery.grid import Grid, reprojected
from data_prep.imagery.image_file import ImageFile
from noise2map_jax.errors import UserError
from noise2map_jax.mapping.overview import image_overview, map_overview, step_of
from noise2map_jax.method.losses import IGNORE
from noise2map_jax.pictures.class_colours import class_colours

LARGEST = 800  # pixels of the longer side of a panel
_LEAST = 160  # of the shorter side, so that labels fit; small scenes are enlarged
_BAND = 64  # height in pixels of the band with legend and scale
_GAP = 8
_INK, _PAPER, _GREY = (20, 20, 20), (255, 255, 255), (128, 128, 128)
_OUTLINE = (255, 220, 0)
_EARTH = 6_371_000.0  # metres, the mean radius: a scale bar needs no more


def check_preview(path: str) -> None:
    """Check that a picture can be written, before the work.

    Raises:
        UserError: the suffix is not .png, or there is no folder to write it to.
    """
    place = pathlib.Path(path)
    if place.suffix.lower() != ".png":
        raise UserError(f"a preview is a PNG picture; {path!r} should end in .png")
    if place.is_dir() or not place.resolve().parent.is_dir():
        raise UserError(f"no folder {str(place.resolve().parent)!r} to write {path!r} to")


def write_preview(
    class_map: str, images: list[ImageFile], classes: tuple[str, ...], path: str
) -> None:
    """Draw a map beside its images.

    Args:
        class_map: the GeoTIFF of class indices.
        images: the open image, or the images before and after, on the grid of the map.
        classes: names of the classes.
        path: the PNG to write.

    Raises:
        UserError: pixels are damaged, or the place cannot be written to.
    """
    grid = images[0].grid
    step = step_of(grid.height, grid.width, LARGEST)
    indices = map_overview(class_map, LARGEST)
    shown = [image_overview(image, LARGEST) for image in images]
    enlarged = max(1, -(-_LEAST // max(min(indices.shape), 1)))
    enlarged = min(enlarged, max(1, LARGEST // max(indices.shape)))
    panels = [*shown, _coloured(indices, len(classes)), _outlined(shown[-1], indices)]
    titles = ["image"] if len(images) == 1 else ["before", "after"]
    titles += ["map", "outlines"]
    picture = _side_by_side([_enlarge(panel, enlarged) for panel in panels], titles)
    draw = ImageDraw.Draw(picture)
    top = picture.height - _BAND + 14
    _draw_legend(draw, classes, top)
    if grid.is_placed and grid.crs:
        metres, north = ground_scale(grid)
        _draw_scale(draw, picture.width, top, metres * step / enlarged)
        _draw_north(draw, picture.width, top, north)
    part = pathlib.Path(f"{path}.part")
    try:
        picture.save(part, format="PNG")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"cannot write {path!r}: {error}") from None


def ground_scale(grid: Grid) -> tuple[float, np.ndarray]:
    """Return what a pixel at the centre of a grid is on the ground.

    Args:
        grid: a grid with a CRS.

    Returns:
        The width of a pixel in metres, and the direction of north in the picture, [2]: columns to
        the right and rows down, of length 1. NaN where the centre is not on Earth.
    """
    from rasterio.crs import CRS

    degrees = CRS.from_epsg(4326)
    column, row = grid.width / 2, grid.height / 2
    points = grid.coordinates(np.array([column, column + 1]), np.array([row, row]))
    here, right = np.radians(reprojected(points, grid.crs, degrees))
    metres = _EARTH * math.hypot((right[0] - here[0]) * math.cos(here[1]), right[1] - here[1])
    # A pixel to the north.
    above = np.degrees([here[0], here[1] + metres / _EARTH])
    (there,) = grid.pixels(reprojected(above[None], degrees, grid.crs))
    north = there - (column, row)
    return metres, north / np.hypot(*north)


def _coloured(indices: np.ndarray, num_classes: int) -> np.ndarray:
    table = np.full((256, 3), _GREY, np.uint8)
    table[:num_classes] = class_colours(num_classes)
    return table[indices]


def _outlined(image: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Draw the edges of all regions but the background on an image."""
    foreground = np.where(indices == IGNORE, 0, indices)
    edge = np.zeros(indices.shape, bool)
    for axis in (0, 1):
        for shift in (1, -1):
            other = np.roll(foreground, shift, axis)
            border = [slice(None)] * 2
            border[axis] = slice(0, 1) if shift == 1 else slice(-1, None)
            other[tuple(border)] = foreground[tuple(border)]
            edge |= (other != foreground) & (foreground > 0)
    return np.where(edge[..., None], np.array(_OUTLINE, np.uint8), image)


def _enlarge(panel: np.ndarray, times: int) -> Image.Image:
    picture = Image.fromarray(panel)
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)


def _side_by_side(panels: list[Image.Image], titles: list[str]) -> Image.Image:
    width, height = panels[0].size
    cell = max(width, _LEAST)
    picture = Image.new(
        "RGB", (len(panels) * (cell + _GAP) + _GAP, height + 30 + _BAND), color=_PAPER
    )
    draw = ImageDraw.Draw(picture)
    for number, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        left = _GAP + number * (cell + _GAP)
        draw.text((left, 6), title, fill=_INK, font=_font())
        picture.paste(panel, (left, 30))
    return picture


def _draw_legend(draw: ImageDraw.ImageDraw, classes: tuple[str, ...], top: int) -> None:
    left = float(_GAP)
    entries = [*zip(classes, class_colours(len(classes)), strict=True), ("no data", _GREY)]
    for name, colour in entries:
        draw.rectangle((left, top + 2, left + 14, top + 16), fill=colour, outline=_INK)
        draw.text((left + 20, top), name, fill=_INK, font=_font())
        left += 20 + draw.textlength(name, font=_font()) + 18


def _draw_scale(draw: ImageDraw.ImageDraw, width: int, top: int, metres: float) -> None:
    """Draw a bar of a round length: 1, 2 or 5 times a power of ten, at most 120 pixels."""
    if not 0 < metres < math.inf:
        return
    most = 120 * metres
    power = 10.0 ** math.floor(math.log10(most))
    length = max(factor * power for factor in (1, 2, 5) if factor * power <= most)
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    right = width - 60
    left = right - length / metres
    draw.line((left, top + 22, right, top + 22), fill=_INK, width=2)
    for end in (left, right):
        draw.line((end, top + 17, end, top + 27), fill=_INK, width=2)
    middle = (left + right - draw.textlength(text, font=_font())) / 2
    draw.text((middle, top - 4), text, fill=_INK, font=_font())


def _draw_north(draw: ImageDraw.ImageDraw, width: int, top: int, north: np.ndarray) -> None:
    if not np.isfinite(north).all():
        return
    centre = np.array([width - 28, top + 16])
    across = np.array([-north[1], north[0]])
    tip, tail = centre + 16 * north, centre - 10 * north
    points = [tip, tail + 6 * across, tail + 4 * north, tail - 6 * across]
    draw.polygon([tuple(point) for point in points], fill=_INK)
    x, y = centre - 18 * north
    draw.text((x - 5, y - 7), "N", fill=_INK, font=_font())


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=14)
