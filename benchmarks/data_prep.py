"""Measures data preparation: tiles/s a core of each builder, records/s a core read back.

Rates count processor time, which a busy machine disturbs less than wall time. The miniatures have
images of the real sizes. The same run also measures, on the same mosaics, a loader that opens and
reads the whole GeoTIFF for every tile.
"""

import argparse
import contextlib
import io
import itertools
import json
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import rasterio
import rasterio.features
from PIL import Image

from benchmarks import machine
from data_prep.__main__ import main
from data_prep.builders.catalogue import BUILDERS
from data_prep.miniatures.command import MINIATURES
from data_prep.shards.shard_file import tfds
from noise2map_jax.data.input_pipeline import train_batches
from noise2map_jax.data.opening import open_dataset

# Builder -> (side of the images in pixels, options of the builder).
BUILDS: dict[str, tuple[int, list[str]]] = {
    "spacenet7": (1024, ["--task=ss"]),
    "whu": (512, ["--task=cd"]),
    "xview2": (1024, []),
    "aid": (600, []),
    "synthetic": (256, ["--task=ss", "--num_scenes=40,4,4"]),
}
TILE = 256
ENCODINGS = ("png", "zlib", "raw")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--builders", nargs="+", choices=list(BUILDS), default=list(BUILDS))
    parser.add_argument("--size", type=int, help="side of all images instead of the real ones")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--num_batches", type=int, default=40)
    parser.add_argument(
        "--num_tiles", type=int, default=48, help="tiles that the loader of whole images reads"
    )
    parser.add_argument("--repeats", type=int, default=3)


def run(arguments: argparse.Namespace) -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        result: dict[str, Any] = {
            "benchmark": "data_prep",
            "machine": machine.describe(),
            "tile_size": TILE,
            "builders": {name: _build(folder, name, arguments) for name in arguments.builders},
        }
        if "spacenet7" in arguments.builders:
            result |= _read_back(folder, arguments)
    machine.report(result, arguments.output)


def _measured(call: Callable[[], None], repeats: int) -> dict[str, dict[str, float]]:
    """Measure wall time and processor time of a call, after one call to warm up."""
    wall, cpu = [], []
    for repeat in range(repeats + 1):
        start, start_cpu = time.perf_counter(), time.process_time()
        call()
        if repeat:
            wall.append(time.perf_counter() - start)
            cpu.append(time.process_time() - start_cpu)
    return {
        "seconds": machine.median_and_spread(wall),
        "cpu_seconds": machine.median_and_spread(cpu),
    }


def _run_quietly(command: Sequence[str]) -> None:
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        code = main(command)
    if code:
        raise SystemExit(errors.getvalue())


def _build(folder: pathlib.Path, name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Build a miniature with images of real size, in this process alone."""
    assert name in BUILDERS
    size, options = BUILDS[name]
    size = arguments.size or size
    command = [name, *options, f"--tile_size={TILE}", "--num_workers=1", "--overwrite"]
    command += [f"--name={name}", f"--data_dir={folder / 'shards'}"]
    if name == "synthetic":
        command.append(f"--scene_size={size}")
    if name in MINIATURES:
        (folder / name).mkdir()
        MINIATURES[name].write(folder / name, seed=0, size=size)
        command.append(f"--source={folder / name}")
    timing = _measured(lambda: _run_quietly(command), 1)
    manifest = json.loads((folder / "shards" / name / "1.0.0" / "manifest.json").read_text())
    records = sum(entry["num_records"] for entry in manifest["splits"].values())
    return {
        "options": options,
        "image_size": size,
        "records": records,
        "source": _source_size(folder / name),
        **timing,
        "tiles_per_core_second": records / timing["cpu_seconds"]["median"],
    }


def _source_size(folder: pathlib.Path) -> str:
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
    return f"{len(files)} files, {sum(path.stat().st_size for path in files) / 2**20:.1f} MiB"


def _read_back(folder: pathlib.Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Read back SpaceNet7 records stored in three ways, and read the mosaics without shards."""
    dataset = open_dataset("spacenet7", str(folder / "shards"))
    source = dataset.source("train")
    records = [source[index] for index in range(len(source))]
    rows = {"as_built": _pipeline_rate(source, arguments)}
    for encoding in ENCODINGS:
        stored = _Stored(folder / encoding, records, encoding)
        rows[encoding] = _pipeline_rate(stored, arguments) | {
            "bytes_a_record": stored.num_bytes / len(records),
        }
    result: dict[str, Any] = {"read_back": rows}
    loaders = {
        "label_rasterised_for_every_tile": _whole_image_loader(folder, arguments, rasterise=True),
        "label_image_read_for_every_tile": _whole_image_loader(folder, arguments, rasterise=False),
    }
    for loader in loaders.values():
        loader["shards_over_this"] = {
            name: row["records_per_core_second"] / loader["tiles_per_core_second"]
            for name, row in rows.items()
        }
    result["opening_the_geotiff_for_every_tile"] = loaders
    return result


def _pipeline_rate(source: Sequence[Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure records/s a core of the training pipeline with one thread."""
    batches = train_batches(
        source,
        ("image", "mask"),
        seed=0,
        batch_size=arguments.batch_size,
        rows=range(arguments.batch_size),
        num_threads=1,
    )

    def take() -> None:
        for _ in itertools.islice(batches, arguments.num_batches):
            pass

    timing = _measured(take, arguments.repeats)
    number = arguments.batch_size * arguments.num_batches
    return {**timing, "records_per_core_second": number / timing["cpu_seconds"]["median"]}


class _Stored(Sequence[dict[str, np.ndarray]]):
    """Records stored in one of several ways, read as TFDS reads them."""

    def __init__(
        self, folder: pathlib.Path, records: Sequence[dict[str, Any]], encoding: str
    ) -> None:
        builder = _Written(folder, records, encoding)
        with tempfile.TemporaryDirectory() as unused:
            builder.download_and_prepare(file_format="array_record", download_dir=unused)
        self.num_bytes = sum(p.stat().st_size for p in folder.rglob("*array_record*"))
        self._source = builder.as_data_source("train")

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: Any) -> Any:
        return self._source[index]


class _Written(tfds.core.ShardBasedBuilder, skip_registration=True):
    """Writes records with their arrays stored in one of several ways."""

    VERSION = tfds.core.Version("1.0.0")
    name = "written"

    def __init__(self, folder: pathlib.Path, records: Any, encoding: str) -> None:
        self._records, self._encoding = records, encoding
        super().__init__(data_dir=folder)

    def _info(self) -> Any:
        def feature(bands: int) -> Any:
            shape = (TILE, TILE, bands)
            if self._encoding == "png":
                return tfds.features.Image(shape=shape, encoding_format="png")
            encoding = tfds.features.Encoding.ZLIB
            if self._encoding == "raw":
                encoding = tfds.features.Encoding.BYTES
            return tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding=encoding)

        bands = self._records[0]["image"].shape[-1]
        entries = {"image": feature(bands), "mask": feature(1)}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(entries))

    def _shard_iterators_per_split(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager
        return {"train": [self._examples]}

    def _examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, record in enumerate(self._records):
            arrays = {key: record[key] for key in ("image", "mask")}
            if self._encoding == "png":
                yield number, {k: _png(a) for k, a in arrays.items()}
            else:
                yield number, arrays


def _png(array: np.ndarray) -> io.BytesIO:
    """Encode [H, W, C] uint8 at level 1: three times as fast as level 6, files no larger."""
    buffer = io.BytesIO()
    picture = Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)
    picture.save(buffer, format="PNG", compress_level=1)
    return io.BytesIO(buffer.getvalue())


def _whole_image_loader(
    folder: pathlib.Path, arguments: argparse.Namespace, *, rasterise: bool
) -> dict[str, Any]:
    """Measure a loader that reads whole GeoTIFFs and labels for every tile, as many loaders do."""
    images = sorted((folder / "spacenet7").rglob("images_masked/*.tif"))
    pairs = [
        (image, next(image.parents[1].glob(f"labels_match_pix/{image.stem}_*"))) for image in images
    ]
    rasters = folder / "label_rasters"
    rasters.mkdir(exist_ok=True)
    if not rasterise:
        pairs = [(image, _label_raster(image, label, rasters)) for image, label in pairs]
    rng = np.random.default_rng(0)

    def take() -> None:
        for number in rng.integers(0, len(pairs), arguments.num_tiles):
            image, label = pairs[number]
            with rasterio.open(image) as opened:
                pixels = np.moveaxis(opened.read(), 0, -1)[..., :3]
            mask = _rasterised(label, pixels.shape[:2]) if rasterise else _read_label(label)
            row, column = rng.integers(0, np.maximum(np.array(mask.shape) - TILE, 0) + 1)
            np.ascontiguousarray(pixels[row : row + TILE, column : column + TILE])
            np.ascontiguousarray(mask[row : row + TILE, column : column + TILE, None])

    timing = _measured(take, 1)
    return {
        "tiles": arguments.num_tiles,
        **timing,
        "tiles_per_core_second": arguments.num_tiles / timing["cpu_seconds"]["median"],
    }


def _rasterised(label: pathlib.Path, shape: tuple[int, ...]) -> np.ndarray:
    features = json.loads(label.read_text())["features"]
    geometries = [feature["geometry"] for feature in features if feature["geometry"]]
    if not geometries:
        return np.zeros(shape, np.uint8)
    mask: np.ndarray = rasterio.features.rasterize(geometries, out_shape=shape, dtype=np.uint8)
    return mask


def _read_label(label: pathlib.Path) -> np.ndarray:
    with rasterio.open(label) as opened:
        mask: np.ndarray = opened.read(1)
        return mask


def _label_raster(image: pathlib.Path, label: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Write the label of a mosaic as a raster, once and outside the measurement."""
    with rasterio.open(image) as opened:
        profile = opened.profile | {"count": 1, "photometric": None}
    path = folder / image.name
    mask = _rasterised(label, (profile["height"], profile["width"]))
    profile = {key: value for key, value in profile.items() if value is not None}
    with rasterio.open(path, "w", **profile) as target:
        target.write(mask, 1)
    return path
