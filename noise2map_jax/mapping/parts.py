"""One scene mapped by several processes: each writes a band of rows, and the last one joins them.

The processes need nothing but a folder that all of them see. Part i of n of a map is called
`PATH.IofN` once it is complete; a part that is there is not predicted again.
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping

import rasterio
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from data_prep.imagery.grid import Grid
from noise2map_jax.errors import UserError
from noise2map_jax.mapping import map_file
from noise2map_jax.mapping.layers import Layer

ROWS_AT_ONCE = 256
FINGERPRINT = "images_sha256"  # tag of a part
_BYTES = 2**16  # of an image's beginning and end that are compared


@dataclasses.dataclass(frozen=True)
class Part:
    """One of several equal bands of a scene.

    Attributes:
        index: its number, from 0.
        number: how many there are.
    """

    index: int = 0
    number: int = 1

    def __post_init__(self) -> None:
        if self.number < 1:
            raise UserError(f"part is {self.index + 1}/{self.number}; expected one of 1 or more")
        if not 0 <= self.index < self.number:
            raise UserError(
                f"part is {self.index + 1}/{self.number}; expected 1/{self.number} to"
                f" {self.number}/{self.number}"
            )

    def path(self, path: str) -> pathlib.Path:
        """Return the file of this part of a map."""
        return pathlib.Path(f"{path}.{self.index + 1}of{self.number}")


def parse_part(text: str) -> Part:
    """Read `2/4`, the second of four parts.

    Raises:
        UserError: the text has another form.
    """
    index, _, number = text.partition("/")
    if not (index.isdecimal() and number.isdecimal()):
        raise UserError(f"part is {text!r}; expected a form such as 2/4, the second of four")
    return Part(int(index) - 1, int(number))


def is_done(layers: Mapping[str, Layer], tags: Mapping[str, str], part: Part) -> bool:
    """Return whether a part of all maps is there.

    Raises:
        UserError: it was made by another run or with other options.
    """
    files = [part.path(path) for path in layers]
    if not all(file.is_file() for file in files):
        return False
    for file, layer in zip(files, layers.values(), strict=True):
        _check([file], layer, tags)
    return True


def fingerprint(images: list[str]) -> dict[str, str]:
    """Return the tag by which parts that were made of other images are known.

    It is of the size, the beginning and the end of each file: names and times may differ from one
    process to another, and whole scenes take long to read.
    """
    digest = hashlib.sha256()
    for image in images:
        size = os.path.getsize(image)
        digest.update(f"{size};".encode())
        with open(image, "rb") as file:
            digest.update(file.read(_BYTES))
            file.seek(max(size - _BYTES, 0))
            digest.update(file.read(_BYTES))
    return {FINGERPRINT: digest.hexdigest()}


@contextlib.contextmanager
def create_part(
    path: str, grid: Grid, layer: Layer, tags: Mapping[str, str], rows: tuple[int, int], part: Part
) -> Iterator[DatasetWriter]:
    """Write a part of a map by rows; see `map_file.create_map`.

    Args:
        path: the map.
        grid: grid of the whole map.
        layer: what it shows.
        tags: what else to say of it.
        rows: the first row of the part, and the row after its last.
        part: the part.
    """
    target = part.path(path)
    writing = target.with_name(target.name + ".part")
    told = dict(tags) | {"first_row": str(rows[0]), "stop_row": str(rows[1])}
    with map_file.create_rows(writing, path, grid, layer, told) as output:
        yield output
    writing.replace(target)


def join(
    layers: Mapping[str, Layer],
    grid: Grid,
    tags: Mapping[str, str],
    number: int,
    images: list[str],
) -> bool:
    """Make the maps of their parts, if all parts are there.

    Of several processes that find all parts at once, one joins them: the one that succeeds in
    renaming the first part. If it is killed, the first part is predicted again.

    Args:
        layers: path of each map and what it shows.
        grid: grid of the maps.
        tags: what else to say of them.
        number: how many parts there are.
        images: the images of the scene.

    Returns:
        Whether this process made the maps.
    """
    files = {path: [Part(i, number).path(path) for i in range(number)] for path in layers}
    if not all(file.is_file() for parts in files.values() for file in parts):
        return False
    for path, layer in layers.items():
        _check(files[path], layer, dict(tags) | fingerprint(images))
    claimed = [parts[0].with_name(parts[0].name + ".part") for parts in files.values()]
    try:
        for parts, claim in zip(files.values(), claimed, strict=True):
            parts[0].rename(claim)
            parts[0] = claim
    except FileNotFoundError:  # Another process was first.
        return False
    for path, layer in layers.items():
        with map_file.create_map(path, grid, layer, tags) as output:
            for file in files[path]:
                _copy(file, output)
    for file in (file for parts in files.values() for file in parts):
        file.unlink(missing_ok=True)
    return True


def _check(files: list[pathlib.Path], layer: Layer, tags: Mapping[str, str]) -> None:
    for file in files:
        try:
            with rasterio.open(file) as part:
                found, bands, kind = part.tags(), part.descriptions, part.dtypes[0]
        except RasterioError as error:
            raise UserError(f"{str(file)!r} is damaged ({error}); remove it") from None
        found |= {"type": kind, "layers": ", ".join(map(str, bands))}
        tags = dict(tags) | {"type": layer.dtype, "layers": ", ".join(layer.band_names)}
        if found.get(FINGERPRINT) != tags[FINGERPRINT]:
            raise UserError(
                f"{str(file)!r} was made of other images; remove it, or choose another output"
            )
        other = next((name for name, value in tags.items() if found.get(name) != value), None)
        if other:
            raise UserError(
                f"{str(file)!r} was made with {other} {found.get(other)}, not {tags[other]}; remove"
                " it, or choose another output"
            )


def _copy(file: pathlib.Path, output: DatasetWriter) -> None:
    with rasterio.open(file) as part:
        first, stop = (int(part.tags()[name]) for name in ("first_row", "stop_row"))
        for row in range(first, stop, ROWS_AT_ONCE):
            window = Window(0, row, part.width, min(ROWS_AT_ONCE, stop - row))
            output.write(part.read(window=window), window=window)
