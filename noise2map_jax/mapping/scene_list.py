"""The scenes that a command names: one file, a folder of files, or a list of them."""

import dataclasses
import pathlib

from data_prep.imagery.files import SUFFIXES
from noise2map_jax.errors import UserError
from noise2map_jax.mapping.scene_map import MapFiles

LIST_SUFFIX = ".txt"
FILES = (*SUFFIXES, ".gpkg", ".geojson", ".parquet")  # suffixes that no folder has by intention


@dataclasses.dataclass(frozen=True)
class SceneFiles:
    """A scene to map.

    Attributes:
        images: the image, or the images before and after.
        maps: the maps to write.
        polygons: the file of polygons to write; "" = none.
        preview: the picture to write; "" = none.
    """

    images: list[str]
    maps: MapFiles
    polygons: str = ""
    preview: str = ""


def scene_list(scenes: SceneFiles) -> list[SceneFiles]:
    """Return the scenes that a command names.

    Args:
        scenes: what the command says. Each image may be a folder, or a text file with a path a
            line, which begins at the list's own folder. Images of two folders belong together by
            their names without suffix, those of two lists by their order. Where there are many
            scenes, outputs are folders, which are made, or `FOLDER/*.geojson` for another suffix;
            each file has the name of its image.

    Raises:
        UserError: a folder or list holds no images, or two have other images or the same names.
    """
    images = scenes.images
    several = [path for path in images if _is_several(path)]
    if not several:
        return [scenes]
    if len(several) < len(images):
        raise UserError(
            f"{several[0]!r} holds many images, and another one is a single file; give two folders"
            " or two lists"
        )
    found = [_paths(path) for path in images]
    for path, paths in zip(images, found, strict=True):
        _check(path, paths)
    pairs = list(zip(*(_matched(images, found)), strict=True))
    return [_of(scenes, paths) for paths in pairs]


def _is_several(path: str) -> bool:
    return pathlib.Path(path).is_dir() or pathlib.Path(path).suffix.lower() == LIST_SUFFIX


def _paths(path: str) -> list[pathlib.Path]:
    place = pathlib.Path(path)
    if place.is_dir():
        return sorted(
            p for p in place.iterdir() if p.suffix.lower() in SUFFIXES and p.name[0] != "."
        )
    try:
        lines = place.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"list {path!r} cannot be read: {error}") from None
    return [place.parent / line.strip() for line in lines if line.strip()]


def _check(path: str, paths: list[pathlib.Path]) -> None:
    if not paths:
        raise UserError(f"{path!r} holds no image ({', '.join(SUFFIXES)})")
    seen: dict[str, pathlib.Path] = {}
    for image in paths:
        if image.stem in seen:
            raise UserError(
                f"{str(seen[image.stem])!r} and {str(image)!r} would have one map,"
                f" {image.stem}.tif; map them to two folders"
            )
        seen[image.stem] = image


def _matched(images: list[str], found: list[list[pathlib.Path]]) -> list[list[pathlib.Path]]:
    """Bring the later images into the order of the earlier ones."""
    first, *others = found
    matched = [first]
    for path, paths in zip(images[1:], others, strict=True):
        if pathlib.Path(path).is_dir():
            by_name = {image.stem: image for image in paths}
            alone = sorted({image.stem for image in first} ^ by_name.keys())
            if alone:
                raise UserError(
                    f"{images[0]!r} and {path!r} hold other images: {len(alone)} without a partner"
                    f" ({', '.join(alone[:3])})"
                )
            paths = [by_name[image.stem] for image in first]
        if len(paths) != len(first):
            raise UserError(
                f"{images[0]!r} and {path!r} name {len(first)} and {len(paths)} images; expected"
                " as many"
            )
        matched.append(paths)
    return matched


def _of(scenes: SceneFiles, images: tuple[pathlib.Path, ...]) -> SceneFiles:
    """Return one of many scenes, and make the folders of its outputs."""

    def named(path: str, suffix: str) -> str:
        if not path:
            return ""
        place = pathlib.Path(path)
        if place.stem == "*":
            place, suffix = place.parent, place.suffix
        elif place.is_file() or (place.suffix.lower() in FILES and not place.is_dir()):
            raise UserError(
                f"{scenes.images[0]!r} holds many images, so an output must be a folder or"
                f" FOLDER/*{place.suffix}, not {path!r}"
            )
        place.mkdir(parents=True, exist_ok=True)
        return str(place / f"{images[0].stem}{suffix}")

    maps = scenes.maps
    return SceneFiles(
        [str(path) for path in images],
        dataclasses.replace(
            maps,
            classes=named(maps.classes, ".tif"),
            probability=named(maps.probability, ".tif"),
            uncertainty=named(maps.uncertainty, ".tif"),
        ),
        named(scenes.polygons, ".gpkg"),
        named(scenes.preview, ".png"),
    )
