"""Finds labels that are no masks: polygons, lists of objects, arrays. Only images would be left."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_prep.imagery.files import SUFFIXES
from data_prep.reading.role_names import Names

_VECTORS = (".shp", ".geojson", ".gpkg", ".kml", ".gml", ".fgb")
_OBJECTS = {
    ".json": re.compile(r'"(shapes|annotations|features|segmentation|polygons?|objects)"'),
    ".xml": re.compile(r"<(annotation|object|polygon)\b"),
    ".txt": re.compile(r"\s*\d+( +[\d.]+){4,}\s*\n"),
}
_HEAD = 2000  # Bytes of a file that are searched.
_MOST_READ = 3  # Files of a suffix.
_BURN = (
    "draw them as masks first: python -m data_prep rasterize --images=IMAGES --outlines=FILE"
    " --output=MASKS (FILE: GeoPackage, GeoJSON or Shapefile, or a folder with one for each image)"
)
_ALONE = "--task=denoise takes the images without labels"


def doubt(source: Path, paths: Sequence[Path]) -> str | None:
    """Say which files are labels that are not read as masks, and what mends it; None: none are.

    Args:
      source: The folder of the dataset.
      paths: All files in it.
    """
    others = [path for path in paths if path.suffix.lower() not in SUFFIXES]
    vectors = [path for path in others if path.suffix.lower() in _VECTORS]
    if vectors:
        return f"{_named(source, vectors)} hold polygons: {_BURN}; {_ALONE}"
    for folder in _folders_of_masks(source):
        held = [path for path in paths if path.is_relative_to(folder)]
        if any(path.suffix.lower() in SUFFIXES for path in held):
            continue
        name = folder.relative_to(source).as_posix()
        if not held:
            return f"the folder {name} is meant for masks and is empty; {_ALONE}"
        kinds = ", ".join(sorted({path.suffix.lower() for path in held}))
        return (
            f"the folder {name} is meant for masks and holds {kinds}, which is not read as masks:"
            f" save them as PNG or TIFF of the same names as the images; {_ALONE}"
        )
    for suffix, pattern in _OBJECTS.items():
        alike = [path for path in others if path.suffix.lower() == suffix]
        if any(pattern.search(_head(path)) for path in alike[:_MOST_READ]):
            return f"{_named(source, alike)} hold outlines of objects: {_BURN}; {_ALONE}"
    return None


def _folders_of_masks(source: Path) -> Iterator[Path]:
    names = Names("ss")
    for path in sorted(source.rglob("*")):
        is_hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
        if not is_hidden and path.is_dir() and names.of_folder(path.name) == "mask":
            yield path


def _head(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_HEAD).decode(errors="replace") + "\n"


def _named(source: Path, paths: Sequence[Path]) -> str:
    first = paths[0].relative_to(source).as_posix()
    return f"{len(paths)} {paths[0].suffix.lower()} files (such as {first})"
