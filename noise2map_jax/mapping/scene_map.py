"""From a trained network and the images of a scene to maps on their grid.

Memory does not grow with the scene: it is read, predicted and written by rows of tiles, in panels
of a bounded width.
"""

import contextlib
import dataclasses
import functools
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator

import jax
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from data_prep.imagery.band_choice import BandChoice
from data_prep.imagery.grid import Grid
from data_prep.imagery.image_file import ImageFile
from noise2map_jax.buckets.address import local_path
from noise2map_jax.errors import UserError
from noise2map_jax.mapping import layers, map_file, pair, parts, scene, tiling
from noise2map_jax.mapping.background import WriteBehind
from noise2map_jax.mapping.blending import Strip
from noise2map_jax.mapping.layers import Layer
from noise2map_jax.mapping.model import Model
from noise2map_jax.mapping.parts import Part
from noise2map_jax.mapping.prediction_options import PredictionOptions
from noise2map_jax.mapping.provenance import provenance
from noise2map_jax.mapping.strips import predicted_strips
from noise2map_jax.mapping.tiling import Region
from noise2map_jax.progress import progress_bar

PANEL_WIDTH = 4096  # pixels that are predicted side by side; the next ones after the last row
WHOLE = Part()
SUFFIXES = (".tif", ".tiff")
STRIPS_BEHIND = 4  # strips that wait to be written


@dataclasses.dataclass(frozen=True)
class MapFiles:
    """The files to write of a scene; "" = none.

    Attributes:
        classes: class indices, uint8.
        probability: the probability of not being class 0, or of each class.
        uncertainty: the standard deviation of the probability of not being class 0 over
            timesteps, draws of Gaussian noise and symmetries.
        foreground: the probability of not being class 0 in steps of 0.004, whatever the others are.
        every_class: whether `probability` has a band for each class.
        dtype: of probability and uncertainty: float32, or uint8 in steps of 0.004.
    """

    classes: str
    probability: str = ""
    uncertainty: str = ""
    foreground: str = ""
    every_class: bool = False
    dtype: str = "float32"

    @property
    def paths(self) -> list[str]:
        """The files, in the order of the attributes."""
        files = (self.classes, self.probability, self.uncertainty, self.foreground)
        return [path for path in files if path]

    def layers(self, classes: tuple[str, ...], threshold: float | None) -> dict[str, Layer]:
        """Return what each file shows, by path."""
        found = {self.classes: layers.class_layer(classes, threshold)}
        if self.probability:
            found[self.probability] = (
                layers.classes_layer(classes, self.dtype)
                if self.every_class
                else layers.foreground_layer(self.dtype)
            )
        if self.uncertainty:
            found[self.uncertainty] = layers.uncertainty_layer(self.dtype)
        if self.foreground:
            found[self.foreground] = layers.foreground_layer("uint8")
        return found


def map_scene(
    model: Model,
    paths: list[str],
    files: MapFiles,
    options: PredictionOptions | None = None,
    *,
    choice: BandChoice | None = None,
    strict: bool = False,
    register: str = "",
    part: Part = WHOLE,
    progress: Callable[[int], None] | None = None,
) -> bool:
    """Map a scene.

    Args:
        model: the network.
        paths: the image, or the images before and after.
        files: what to write.
        options: how to predict.
        choice: which bands of the images are read; None: those of the run's dataset.
        strict: whether a pair on different grids is refused instead of warped.
        register: whether the shift between the dates is measured ("report") and taken out
            ("apply"); see `pair.aligned`.
        part: the part of the scene that this process maps; the last one to end joins them.
        progress: called with the number of pixels of each strip; what it raises ends the work.
            None: a bar is drawn.

    Returns:
        Whether the maps are complete; False while other parts are missing.

    Raises:
        UserError: the images do not fit the network or each other, an option is invalid, or a file
            cannot be written.
    """
    options = options or PredictionOptions()
    check_number(model, paths)
    if len({pathlib.Path(path).resolve() for path in paths}) < len(paths):
        raise UserError(f"{paths[0]!r} is given as both dates; name another one as post")
    if files.uncertainty:
        model.check_uncertainty(options)
    shown = files.layers(model.classes, model.threshold(options))
    names = ", ".join(pathlib.Path(path).name for path in paths)
    tags = provenance(model, options, choice) | {"images": names}
    if register:
        tags["register"] = register
    check_outputs(paths, files)
    with contextlib.ExitStack() as stack:
        images = open_images(model, paths, stack, choice, strict=strict, register=register)
        grid = images[0].grid
        map_file.check_space(grid, shown)
        regions = list(_regions(model, grid, options, part))
        if part.number == 1:
            create = functools.partial(map_file.create_map, grid=grid, tags=tags)
            _write(model, images, options, regions, shown, create, progress)
            return True
        of_part = tags | parts.fingerprint(paths)
        if not parts.is_done(shown, of_part, part):
            rows = regions[0].rows if regions else (0, 0)
            create = functools.partial(
                parts.create_part, grid=grid, tags=of_part, rows=rows, part=part
            )
            _write(model, images, options, regions, shown, create, progress)
        return parts.join(shown, grid, tags, part.number, paths)


def _write(
    model: Model,
    images: list[ImageFile],
    options: PredictionOptions,
    regions: list[Region],
    shown: dict[str, Layer],
    create: Callable[..., contextlib.AbstractContextManager[DatasetWriter]],
    progress: Callable[[int], None] | None,
) -> None:
    """Predict regions of a scene, and write all maps of them."""
    with contextlib.ExitStack() as outputs:
        writers = [
            (outputs.enter_context(create(path=path, layer=layer)), layer)
            for path, layer in shown.items()
        ]
        if progress is None:
            num_pixels = sum(region.num_pixels for region in regions)
            bar = outputs.enter_context(progress_bar(num_pixels, "map", "pixels"))
            progress = bar.update
        write = outputs.enter_context(WriteBehind(_writing(writers), STRIPS_BEHIND))
        for strip in strips_of(model, images, options, regions):
            write(strip)
            progress(strip.valid.size)


def check_outputs(images: list[str], files: MapFiles) -> None:
    """Check that the maps of a scene can be written, before the work begins.

    Raises:
        UserError: an output is no GeoTIFF by its name, or see `map_file.check_targets`.
    """
    targets = [path for path in (files.classes, files.probability, files.uncertainty) if path]
    places = [local_path(path, "a map to write") for path in targets]
    sources = [source for path in images for source in scene.files_of(path)]
    map_file.check_targets(sources, files.paths)
    for path, place in zip(targets, places, strict=True):
        if place.suffix.lower() not in SUFFIXES:
            raise UserError(f"a map is a GeoTIFF, but {path!r} is to be written; name it OUT.tif")


def check_number(model: Model, given: list[str]) -> None:
    """Check that there are as many images as the network takes.

    Raises:
        UserError: there are more or fewer; the message has both numbers.
    """
    keys = model.image_keys
    if len(given) != len(keys):
        raise UserError(
            f"task {model.config.task!r} takes {len(keys)} image(s) ({', '.join(keys)}), but"
            f" {len(given)} are given; the later image of a pair is named post"
        )


def open_images(
    model: Model,
    paths: list[str],
    stack: contextlib.ExitStack,
    choice: BandChoice | None = None,
    *,
    strict: bool = False,
    register: str = "",
) -> list[ImageFile]:
    """Open the images of a scene, check them, and bring them onto one grid.

    What was done to them is said on stderr.

    Args:
        model: the network.
        paths: the images.
        stack: closes the images.
        choice: which bands to read; None: those of the run's dataset.
        strict: see `map_scene`.
        register: see `map_scene`.
    """
    data, choice = model.config.data, choice or model.band_choice
    images = [stack.enter_context(scene.open_image(path, choice)) for path in paths]
    scene.check_images(images, data.num_bands, data.dtype)
    images, notes = pair.aligned(images, strict=strict, register=register)
    for note in (*(f"{i.path} is {note}" for i in images for note in i.notes), *notes):
        print(f"note: {note}", file=sys.stderr)
    return images


def strips_of(
    model: Model,
    images: list[ImageFile],
    options: PredictionOptions,
    regions: Iterable[Region] | None = None,
) -> Iterator[Strip]:
    """Predict a scene, from top to bottom in each region; see `strips.predicted_strips`.

    Args:
        model: the network.
        images: the images of the scene, on one grid.
        options: how to predict.
        regions: the parts of the scene; None: all of it.
    """
    if regions is None:
        regions = _regions(model, images[0].grid, options, Part())
    tiles, predictor = options.tiling(model.config), model.predictor(options)
    number = options.num_tiles(model.config, jax.device_count())
    for region in regions:
        yield from predicted_strips(predictor, images, tiles, region, number, len(model.classes))


def _regions(model: Model, grid: Grid, options: PredictionOptions, part: Part) -> Iterator[Region]:
    return tiling.panels(
        options.tiling(model.config),
        grid.height,
        grid.width,
        greatest_width=PANEL_WIDTH,
        part=part.index,
        parts=part.number,
    )


def _writing(writers: list[tuple[DatasetWriter, Layer]]) -> Callable[[Strip], None]:
    def write(strip: Strip) -> None:
        height, width = strip.valid.shape
        window = Window(strip.column, strip.row, width, height)
        for writer, layer in writers:
            writer.write(layer.pixels(strip), window=window)

    return write
