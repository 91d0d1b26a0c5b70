"""Writes a small generated SpaceNet7, in its owner's layout or that of the paper's authors."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
import shapely.affinity
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.warp import transform as reproject

from data_prep.basics import strict_json
from data_prep.drawing.scenes import series
from data_prep.miniatures.footprints import polygons

# Areas of each split. The third has one row less than the others, as a few of the owner's have.
AREAS = (
    ("train", "L15-0331E-1257N_1327_3160_13", 0),
    ("val", "L15-0357E-1223N_1429_3296_13", 0),
    ("train", "L15-1669E-1160N_6679_3549_13", 1),
    ("test", "L15-1848E-0793N_7394_5018_13", 0),
)
DATES = ((2018, 11), (2018, 12), (2019, 1), (2019, 4))  # The owner's data lack months, too.
# An area is a web map tile of zoom level 13, whose x and y are in its name.
_HALF_WORLD = 20037508.342789244  # m
PIXEL = 2 * _HALF_WORLD / 2**13 / 1024  # m, 4.777
_MERCATOR, _WGS84 = CRS.from_epsg(3857), CRS.from_epsg(4326)


@dataclass(frozen=True)
class Truth:
    """An area in one month as it was drawn.

    Attributes:
      split: train, val or test in the paper's split.
      area: Name of the area.
      date: Year and month.
      image: [H, W, 3] uint8.
      mask: [H, W, 1] uint8, 1 = building, also under the cloud.
      cloud: [H, W] bool; None in months without a cloud.
    """

    split: str
    area: str
    date: tuple[int, int]
    image: np.ndarray
    mask: np.ndarray
    cloud: np.ndarray | None

    @property
    def stem(self) -> str:
        """The common start of the names of its files."""
        return f"global_monthly_{self.date[0]}_{self.date[1]:02d}_mosaic_{self.area}"


def draw(seed: int, size: int) -> Iterator[Truth]:
    """Draw all areas, month by month.

    Args:
      seed: Seed of everything; each area depends on nothing else.
      size: Columns, and rows of most images, in pixels.
    """
    for index, (split, area, missing_rows) in enumerate(AREAS):
        rng = np.random.default_rng([seed, index])
        for number, (date, (image, mask)) in enumerate(
            zip(DATES, series(rng, size, len(DATES)), strict=True)
        ):
            height = size - missing_rows
            if index == 1 and number == 0:
                mask = np.zeros_like(mask)  # The owner has months without buildings.
            cloud = None
            if (index + number) % 4 == 1:
                y, x = np.mgrid[:height, :size]
                row, column = rng.uniform(0.2, 0.8, 2) * (height, size)
                cloud = (y - row) ** 2 + (2 * (x - column) / 3) ** 2 < (size / 5) ** 2
            yield Truth(split, area, date, image[:height], mask[:height], cloud)


def origin(area: str) -> rasterio.Affine:
    """Return the transform of an area, the tile that its name gives, in EPSG:3857."""
    x, y = (int(number) for number in area.split("_")[1:3])
    tile = 1024 * PIXEL
    return rasterio.Affine(PIXEL, 0, x * tile - _HALF_WORLD, 0, -PIXEL, _HALF_WORLD - y * tile)


def write(output: Path, *, seed: int, size: int) -> None:
    """Write the owner's layout: images, clouds, and labels in three kinds of coordinates.

    Args:
      output: An empty folder; `train` is made in it.
      seed: Seed of all areas.
      size: Columns, and rows of most images, in pixels.
    """
    for truth in draw(seed, size):
        folder = output / "train" / truth.area
        _write_images(folder, truth, clouds=True)
        outlines = polygons(truth.mask)
        placed = [_moved(shape, origin(truth.area)) for shape in outlines]
        degrees = shapely.transform(placed, _to_degrees)
        for name, shapes, crs in (
            ("labels", degrees, "urn:ogc:def:crs:OGC:1.3:CRS84"),
            ("labels_match", placed, "urn:ogc:def:crs:EPSG::3857"),
            # The owner's pixel coordinates; tools declare WGS84 if they know no CRS.
            ("labels_match_pix", outlines, "urn:ogc:def:crs:OGC:1.3:CRS84"),
        ):
            path = folder / name / f"{truth.stem}_Buildings.geojson"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(strict_json.dumps(_collection(shapes, crs)), encoding="utf-8")


def write_authors(output: Path, *, seed: int, size: int) -> None:
    """Write the layout of the paper's authors: label rasters, and metadata of cloudy months.

    Args:
      output: An empty folder.
      seed: Seed of all areas.
      size: Columns, and rows of most images, in pixels.
    """
    metadata: dict[str, list[dict[str, Any]]] = {}
    for truth in draw(seed, size):
        folder = output / "train" / truth.area
        _write_images(folder, truth, clouds=False)
        path = folder / "labels_raster" / f"{truth.stem}_Buildings.tif"
        _write_raster(path, 255 * truth.mask, truth.area)
        months = metadata.setdefault(truth.area, [])
        year, month = truth.date
        entry = {"aoi_id": truth.area, "index": len(months), "year": year, "month": month}
        months.append(entry | {"mask": truth.cloud is not None, "label": True})
    (output / "metadata_train.json").write_text(
        strict_json.dumps(metadata, indent=1), encoding="utf-8"
    )


def _moved(shape: shapely.Geometry, transform: rasterio.Affine) -> shapely.Geometry:
    a, b, c, d, e, f = transform[:6]
    return shapely.affinity.affine_transform(shape, (a, b, d, e, c, f))


def _to_degrees(points: np.ndarray) -> np.ndarray:
    return np.stack(reproject(_MERCATOR, _WGS84, *points.T), axis=1)


def _write_images(folder: Path, truth: Truth, *, clouds: bool) -> None:
    hidden = np.zeros(truth.mask.shape[:2], bool) if truth.cloud is None else truth.cloud
    alpha = np.where(hidden, 0, 255).astype(np.uint8)[..., None]
    colour = np.where(hidden[..., None], np.uint8(0), truth.image)
    rgba = np.concatenate([colour, alpha], axis=-1)
    _write_raster(folder / "images_masked" / f"{truth.stem}.tif", rgba, truth.area)
    if clouds and truth.cloud is not None:
        udm = np.where(truth.cloud, 255, 0).astype(np.uint8)[..., None]
        _write_raster(folder / "UDM_masks" / f"{truth.stem}_UDM.tif", udm, truth.area)


def _write_raster(path: Path, bands: np.ndarray, area: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, count = bands.shape
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": count,
        "dtype": "uint8",
        "crs": _MERCATOR,
        "transform": origin(area),
        "compress": "lzw",
    }
    if count == 4:
        profile |= {"photometric": "RGB", "alpha": "YES"}
    with rasterio.open(path, "w", **profile) as target:
        target.write(np.moveaxis(bands, -1, 0))
        if count == 4:
            target.colorinterp = (
                ColorInterp.red,
                ColorInterp.green,
                ColorInterp.blue,
                ColorInterp.alpha,
            )


def _collection(shapes: Any, crs: str) -> dict[str, Any]:
    """Return a FeatureCollection; every third polygon has heights, like some of the owner's."""
    features = []
    for number, shape in enumerate(shapes):
        polygon = shapely.force_3d(shape) if number % 3 == 2 else shape
        features.append(
            {
                "type": "Feature",
                "properties": {"Id": number, "area": shape.area},
                "geometry": shapely.geometry.mapping(polygon),
            }
        )
    return {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": crs}},
        "features": features,
    }
