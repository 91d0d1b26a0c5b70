"""Inspects the files of a SpaceNet7 month, and reads them as arrays."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.basics.dataset import IGNORE, Scene
from data_prep.basics.rejection import Unusable
from data_prep.builders.spacenet7_layout import Month
from data_prep.imagery.bands import ReadError
from data_prep.imagery.files import read_grid
from data_prep.imagery.grid import Grid, same_grid
from data_prep.imagery.image_file import read_image
from data_prep.imagery.mask_file import read_mask
from data_prep.reading import geometry
from data_prep.reading.geojson import read_geojson

_MAY_BE_PIXELS = "labels_match_pix"  # Coordinates may be pixels, whatever CRS a file names.


@dataclass(frozen=True)
class MonthFacts:
    """What the files of a month hold.

    Attributes:
      grid: Grid of all its rasters: the rows and columns that all of them have.
      reading: How the label's coordinates were read; None for a raster or a label without polygons.
      num_outside: Number of footprints outside the image.
      num_repaired: Number of invalid footprints that were repaired.
      num_empty: Number of footprints that cover no area.
    """

    grid: Grid
    reading: str | None = None
    num_outside: int = 0
    num_repaired: int = 0
    num_empty: int = 0


def inspect(labels: str, month: Month) -> MonthFacts | dict[Path, str]:
    """Read the headers and the footprints of a month.

    Args:
      labels: The folder of the labels.
      month: The month.

    Returns:
      The month's facts, or each file at fault with its reason.
    """
    if month.problem:
        return {month.problem[0]: month.problem[1]}
    grids: dict[str, Grid] = {}
    reasons: dict[Path, str] = {}
    for role, path in month.files.items():
        if role == "label" and labels != "labels_raster":
            continue
        try:
            grids[role] = read_grid(path)
        except ReadError as error:
            reasons[path] = str(error)
    if reasons:
        return reasons
    image = grids["image"]
    if image.crs is None:
        return {month.files["image"]: "has no CRS, so nothing says where its pixels lie"}
    for role, grid in grids.items():
        if not same_grid(image, grid):
            reasons[month.files[role]] = f"has another grid than {month.files['image'].name}"
    if reasons:
        return reasons
    common = common_grid(grids.values())
    if labels == "labels_raster":
        return MonthFacts(common)
    path = month.files["label"]
    try:
        found = _footprints(labels, path, image)
    except ReadError as error:
        return {path: str(error)}
    return MonthFacts(
        common,
        found.reading if found.polygons else None,
        found.num_outside,
        found.num_repaired,
        found.num_empty,
    )


def reject_other_grids(
    months: Sequence[Month], facts: dict[Month, MonthFacts | dict[Path, str]]
) -> None:
    """Reject the months of an area whose grid differs from that of most of its months."""
    alike: list[list[tuple[Month, Grid]]] = []
    for month in months:
        fact = facts.get(month)
        if isinstance(fact, MonthFacts):
            fits = (group for group in alike if same_grid(group[0][1], fact.grid))
            group = next(fits, None)
            if group is None:
                alike.append([(month, fact.grid)])
            else:
                group.append((month, fact.grid))
    alike.sort(key=len, reverse=True)
    for group in alike[1:]:
        for month, _ in group:
            reason = f"has another grid than {alike[0][0][0].name} of its area"
            facts[month] = {month.files["image"]: reason}


def judge(
    group: Sequence[Month], facts: Mapping[Month, MonthFacts | dict[Path, str]]
) -> tuple[Grid | None, dict[Path, str]]:
    """Return the grid of a scene, or the files at fault."""
    of_group = [facts[month] for month in group]
    reasons = {path: why for f in of_group if isinstance(f, dict) for path, why in f.items()}
    if reasons:
        return None, reasons
    return common_grid(f.grid for f in of_group if isinstance(f, MonthFacts)), {}


def load_scene(task: str, labels: str, change: str | None, scene: Scene) -> dict[str, np.ndarray]:
    """Read a month or a pair of months, and draw the mask.

    Args:
      task: ss or cd.
      labels: The folder of the labels.
      change: xor or new; None for ss.
      scene: The scene.

    Returns:
      {feature: [H, W, C] uint8}; the mask is 255 where one of the dates is hidden by a cloud, alpha
      0 or no data.

    Raises:
      Unusable: A file cannot be read.
    """
    if task == "ss":
        image, buildings, hidden = _load_month(labels, scene, "")
        mask = np.where(hidden, np.uint8(IGNORE), buildings)
        return {"image": image, "mask": mask[..., None]}
    pre, before, hidden_pre = _load_month(labels, scene, "pre_")
    post, after, hidden_post = _load_month(labels, scene, "post_")
    changed = before != after if change == "xor" else after > before
    mask = np.where(hidden_pre | hidden_post, np.uint8(IGNORE), changed.astype(np.uint8))
    return {"pre": pre, "post": post, "mask": mask[..., None]}


def common_grid(grids: Iterable[Grid]) -> Grid:
    """Return a grid of the rows and columns that all grids have."""
    grids = list(grids)
    first = grids[0]
    height, width = min(g.height for g in grids), min(g.width for g in grids)
    return Grid(height, width, first.transform, first.crs, first.nodata)


def _footprints(labels: str, path: Path, grid: Grid) -> geometry.Footprints:
    vectors = read_geojson(path)
    return geometry.place(vectors, grid, may_be_pixels=labels == _MAY_BE_PIXELS)


def _load_month(
    labels: str, scene: Scene, prefix: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read a date of a scene: image [H, W, 3], buildings [H, W] 0 or 1, hidden [H, W] bool."""
    shape = (scene.height, scene.width)
    paths = {role: scene.files.get(prefix + role) for role in ("image", "label", "udm")}
    path = paths["image"]
    assert path is not None
    try:
        grid = read_grid(path)
        pixels, hidden = _load_image(path, grid)
        pixels, hidden = _crop(pixels, shape), _crop(hidden, shape)
        path = paths["label"]
        assert path is not None
        if labels == "labels_raster":
            values = read_mask(path).values
            if not set(np.unique(values)) <= {0, 255} and not set(np.unique(values)) <= {0, 1}:
                raise ReadError("holds other values than 0 and 255 or 0 and 1")
            buildings = (_crop(values, shape) > 0).astype(np.uint8)
        else:
            buildings = geometry.rasterise(_footprints(labels, path, grid), *shape)
        path = paths["udm"]
        if path is not None:
            hidden = hidden | (_crop(read_mask(path).values, shape) > 0)
    except ReadError as error:
        assert path is not None
        raise Unusable({path: str(error)}) from error
    return pixels, buildings, hidden


def _load_image(path: Path, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Read red, green and blue, and which pixels are hidden: alpha 0 or no data."""
    image = read_image(path)
    pixels = image.pixels
    if pixels.dtype != np.uint8 or pixels.shape[-1] not in (3, 4):
        raise ReadError(
            f"has {pixels.shape[-1]} bands of {pixels.dtype}; expected RGB or RGBA of uint8"
        )
    hidden = np.zeros(pixels.shape[:2], bool) if image.valid is None else ~image.valid
    if pixels.shape[-1] == 4:  # An alpha band that is not flagged as alpha.
        hidden, pixels = hidden | (pixels[..., 3] == 0), pixels[..., :3]
    if grid.nodata is not None:
        hidden = hidden | (pixels == grid.nodata).all(axis=-1)
    return np.ascontiguousarray(pixels), hidden


def _crop(array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    cropped = array[: shape[0], : shape[1]]
    if cropped.shape[:2] != shape:
        raise ReadError(f"has changed since: {array.shape[1]} x {array.shape[0]} pixels")
    return cropped
