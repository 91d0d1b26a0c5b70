"""Writes a small generated xView2 / xBD: pairs of two disasters in the owner's splits."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from PIL import Image
from scipy import ndimage

from data_prep.basics import strict_json
from data_prep.basics.dataset import IGNORE
from data_prep.drawing.scenes import segmentation_scene
from data_prep.miniatures.footprints import polygons

# Disaster -> type, longitude and latitude of its first pair.
DISASTERS = {
    "santa-rosa-wildfire": ("fire", -122.74, 38.47),
    "hurricane-harvey": ("flooding", -95.56, 29.77),
}
# Split of the owner -> number of pairs of each disaster.
NUM_PAIRS = {"train": (5, 2), "hold": (2, 1), "test": (2, 1)}
_SUBTYPES = ("no-damage", "minor-damage", "major-damage", "destroyed", "un-classified")
_VALUES = (1, 2, 3, 4, IGNORE)
_DEGREES = 4.5e-6  # Degrees of latitude in a pixel of 0.5 m.


@dataclass(frozen=True)
class Building:
    """A building and its damage.

    Attributes:
      polygon: Its footprint in pixels.
      subtype: Its damage, in the owner's words.
    """

    polygon: shapely.Polygon
    subtype: str


@dataclass(frozen=True)
class Pair:
    """One pair of images and the truth about it.

    Attributes:
      split: The owner's name of the split.
      disaster: Name of the disaster.
      number: Unique among the pairs of the disaster.
      pre: [S, S, 3] uint8.
      post: [S, S, 3] uint8.
      levels: [S, S] uint8: 0 = no building, 1 = no damage, 2 = minor, 3 = major, 4 = destroyed,
        255 = un-classified.
      buildings: The same buildings as polygons.
    """

    split: str
    disaster: str
    number: int
    pre: np.ndarray
    post: np.ndarray
    levels: np.ndarray
    buildings: tuple[Building, ...]

    @property
    def name(self) -> str:
        """Disaster and number, as in the owner's file names."""
        return f"{self.disaster}_{self.number:08d}"


def draw(seed: int, size: int) -> list[Pair]:
    """Draw all pairs.

    Args:
      seed: Seed of all pairs.
      size: Side of an image in pixels.
    """
    pairs = []
    for index, disaster in enumerate(DISASTERS):
        number = 0
        for split, counts in NUM_PAIRS.items():
            for _ in range(counts[index]):
                rng = np.random.default_rng(np.random.SeedSequence([seed, index, number]))
                pairs.append(_pair(rng, split, disaster, number, size))
                number += 1
    return pairs


def write(output: Path, *, seed: int, size: int) -> None:
    """Write the owner's layout: SPLIT/{images,labels}.

    Args:
      output: An empty folder.
      seed: Seed of all scenes.
      size: Side of an image in pixels; the owner's have 1024.
    """
    for pair in draw(seed, size):
        for date, image in (("pre", pair.pre), ("post", pair.post)):
            stem = f"{pair.name}_{date}_disaster"
            _save(image, output / pair.split / "images" / f"{stem}.png")
            label = output / pair.split / "labels" / f"{stem}.json"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(strict_json.dumps(_label(pair, date)), encoding="utf-8")


def write_authors(output: Path, *, seed: int, size: int) -> None:
    """Write the layout of the paper's authors: {train,test}/xBD/santa-rosa-wildfire/{images,masks}.

    As from the owner's preparation, masks are the footprints on the pre image, 0 and 255 in three
    equal bands, under the name of that image.

    Args:
      output: An empty folder.
      seed: Seed of all scenes.
      size: Side of an image in pixels; the owner's have 1024.
    """
    for pair in draw(seed, size):
        if pair.disaster != next(iter(DISASTERS)) or pair.split == "hold":
            continue
        folder = output / pair.split / "xBD" / pair.disaster
        mask = np.where(pair.levels[..., None] > 0, np.uint8(255), np.uint8(0)).repeat(3, axis=-1)
        _save(pair.pre, folder / "images" / f"{pair.name}_pre_disaster.png")
        _save(pair.post, folder / "images" / f"{pair.name}_post_disaster.png")
        _save(mask, folder / "masks" / f"{pair.name}_pre_disaster.png")


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _pair(rng: np.random.Generator, split: str, disaster: str, number: int, size: int) -> Pair:
    pre, mask = segmentation_scene(rng, size)
    found = polygons(mask)
    # With enough buildings, every kind of damage occurs.
    kinds = rng.permutation(np.resize(rng.permutation(len(_SUBTYPES)), len(found)))
    buildings = tuple(
        Building(polygon, _SUBTYPES[kind]) for polygon, kind in zip(found, kinds, strict=True)
    )
    levels = np.zeros((size, size), np.uint8)
    areas, _ = ndimage.label(mask[..., 0])  # Joins pixels at their edges, as polygons() does.
    for polygon, kind in zip(found, kinds, strict=True):
        inside = polygon.representative_point()
        levels[areas == areas[int(inside.y), int(inside.x)]] = _VALUES[kind]
    return Pair(split, disaster, number, pre, _after(rng, pre, levels), levels, buildings)


def _after(rng: np.random.Generator, pre: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Picture the ground in another day's light, with rubble and ash on damaged buildings."""
    post = pre * rng.uniform(0.9, 1.1, 3) + rng.normal(0, 3, pre.shape)
    rubble = 70 + 40 * ndimage.gaussian_filter(rng.normal(0, 1, levels.shape), 0.8)[..., None]
    share = np.select([levels == 2, levels == 3, levels == 4], [0.25, 0.6, 1.0], 0.0)
    covered = (rng.random(levels.shape) < share)[..., None]
    return np.where(covered, rubble, post).clip(0, 255).astype(np.uint8)


def _label(pair: Pair, date: str) -> dict[str, Any]:
    kind, longitude, latitude = DISASTERS[pair.disaster]
    size = pair.levels.shape[0]
    longitude += 2 * pair.number * size * _DEGREES  # Keeps the pairs apart.
    features: dict[str, list[dict[str, Any]]] = {"lng_lat": [], "xy": []}
    for index, building in enumerate(pair.buildings):
        properties = {"feature_type": "building", "uid": f"{pair.name}-{index:04d}"}
        if date == "post":
            properties["subtype"] = building.subtype

        def on_earth(xy: np.ndarray) -> np.ndarray:
            return np.array([longitude, latitude]) + xy * [_DEGREES, -_DEGREES]

        on_ground = shapely.transform(building.polygon, on_earth)
        for place, polygon in (("lng_lat", on_ground), ("xy", building.polygon)):
            wkt = shapely.to_wkt(polygon, rounding_precision=9)
            features[place].append({"properties": properties, "wkt": wkt})
    metadata = {
        "sensor": "WORLDVIEW02",
        "provider_asset_type": "WORLDVIEW02",
        "gsd": 0.5,
        "capture_date": f"2017-{'06' if date == 'pre' else '10'}-11T19:00:00.000Z",
        "off_nadir_angle": 20.0,
        "pan_resolution": 0.5,
        "sun_azimuth": 150.0,
        "sun_elevation": 45.0,
        "target_azimuth": 90.0,
        "disaster": pair.disaster,
        "disaster_type": kind,
        "catalog_id": f"{pair.number:016d}",
        "original_width": size,
        "original_height": size,
        "width": size,
        "height": size,
        "id": f"{pair.name}-{date}",
        "img_name": f"{pair.name}_{date}_disaster.png",
    }
    return {"features": features, "metadata": metadata}
