"""Dataset -> ArrayRecord shards described by TFDS, without TensorFlow."""

import fcntl
import functools
import io
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from data_prep import checksums, manifest, rejection, tiles
from data_prep.dataset import Dataset, RecordFormat, Scene
from data_prep.errors import UserError
from data_prep.parallel import ordered_map
from data_prep.records import SceneRecords, is_png, scene_records
from data_prep.tally import Tally

with warnings.catch_warnings():
    # Libraries below TFDS use what the standard library or NumPy have deprecated; neither the
    # user nor we can mend it. This is the only place where data_prep imports TFDS.
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", FutureWarning)
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import writer as tfds_writer
    from tensorflow_datasets.proto import tf_example_pb2

# Raw pixels per shard. A shard is held in memory while it is written (as PNG, about half of it),
# and a dataset of the paper's size still has tens of shards, not thousands.
SHARD_BYTES = 128 * 2**20

Records = Iterator[tuple[str, dict[str, Any]]]


def features(layout: RecordFormat) -> tfds.features.FeaturesDict:
    """Return the TFDS features of a dataset's records."""
    shape = (layout.tile_size, layout.tile_size, layout.num_bands)
    entries: dict[str, Any] = {"id": tfds.features.Text()}
    for name in layout.images:
        if is_png(layout.num_bands, layout.dtype):
            entries[name] = tfds.features.Image(shape=shape, encoding_format="png")
        else:
            entries[name] = tfds.features.Tensor(
                shape=shape, dtype=np.dtype(layout.dtype), encoding=tfds.features.Encoding.ZLIB
            )
    if layout.has_mask:
        entries["mask"] = tfds.features.Image(shape=(*shape[:2], 1), encoding_format="png")
    if layout.task == "cd":
        entries["has_change"] = tfds.features.Scalar(np.bool_)
    return tfds.features.FeaturesDict(entries)


def shard_plan(dataset: Dataset) -> dict[str, list[list[Scene]]]:
    """Divide the scenes of each split into shards.

    Args:
      dataset: The dataset to divide.

    Returns:
      Split -> shards, each a list of whole consecutive scenes of about SHARD_BYTES raw pixels.
    """
    layout = dataset.format
    record_bytes = layout.tile_size**2 * layout.num_bands * np.dtype(layout.dtype).itemsize
    record_bytes *= len(layout.images)
    plan: dict[str, list[list[Scene]]] = {}
    filled: dict[str, int] = {}
    for scene in dataset.scenes:
        size = tiles.count(scene.height, scene.width, layout.tile_size) * record_bytes
        shards = plan.setdefault(scene.split, [])
        if not shards or filled[scene.split] + size > SHARD_BYTES:
            shards.append([])
            filled[scene.split] = 0
        shards[-1].append(scene)
        filled[scene.split] += size
    return plan


class _DeterministicWriter(tfds_writer.ExampleWriter):
    """Writes the same bytes for the same records.

    A record is a protobuf map, whose entries TFDS serialises in an order that changes from process
    to process; here they are sorted.
    """

    def write(self, path: Any, examples: Any) -> Any:
        ordered = (
            (key, tf_example_pb2.Example.FromString(text).SerializeToString(deterministic=True))
            for key, text in examples
        )
        return super().write(path, ordered)


# Not tfds.core.GeneratorBasedBuilder: its shuffling writer spills to disk through TensorFlow once
# a split exceeds 1 GB. This one streams shard by shard and keeps the order of the scenes.
class _Builder(tfds.core.ShardBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writes one dataset; its name, features and scenes are those of `dataset`."""

    VERSION = tfds.core.Version(manifest.VERSION)

    def __init__(
        self, dataset: Dataset, data_dir: Path, results: Iterator[SceneRecords], num_workers: int
    ) -> None:
        self.name = dataset.name
        self._dataset = dataset
        self._results = results
        self._num_workers = num_workers
        self._tally = Tally(dataset.format)
        self.manifest: dict[str, Any] = {}
        super().__init__(data_dir=data_dir)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(builder=self, features=features(self._dataset.format))

    def _example_writer(self) -> tfds_writer.ExampleWriter:
        return _DeterministicWriter(file_format=self.info.file_format)

    def _log_download_bytes(self) -> None:
        """Say nothing: nothing is downloaded, and the summary says where the dataset lies."""

    _log_download_done = _log_download_bytes

    def _shard_iterators_per_split(self, dl_manager: Any) -> Mapping[str, Sequence[Any]]:
        del dl_manager
        return {
            split: [functools.partial(self._shard_records, len(scenes)) for scenes in shards]
            for split, shards in shard_plan(self._dataset).items()
        }

    def _shard_records(self, num_scenes: int) -> Records:
        # The results come in the order of the scenes, and TFDS asks for the shards in that order.
        for _ in range(num_scenes):
            result = next(self._results)
            self._tally.add(result)
            for key, record in result.records:
                yield (
                    key,
                    {
                        name: io.BytesIO(value) if isinstance(value, bytes) else value
                        for name, value in record.items()
                    },
                )

    def _download_and_prepare(self, dl_manager: Any, download_config: Any = None) -> None:
        super()._download_and_prepare(dl_manager, download_config)
        dataset, tally = self._dataset, self._tally
        rejections = tally.rejections(dataset)
        rejection.check(rejections, dataset.num_found, dataset.on_error)
        if emptied := tally.emptied(dataset):
            raise UserError(
                f"no scene is left for {' and '.join(emptied)}:"
                f" {rejection.listing(rejections, dataset.num_found)}"
            )
        sources: dict[str, str] = {}
        if dataset.source is not None:
            sources = checksums.of_files(tally.used, dataset.source, num_workers=self._num_workers)
        # TFDS works in a temporary folder and renames it at the end: with the manifest inside, the
        # shards and the manifest appear together or not at all.
        folder = Path(self.data_dir)
        written = {
            path.name: checksums.of_file(path) for path in sorted(folder.glob("*.array_record*"))
        }
        self.manifest = manifest.make(dataset, tally, sources, written)
        manifest.write(folder, self.manifest)


def write(dataset: Dataset, data_dir: Path, *, num_workers: int) -> dict[str, Any]:
    """Write a dataset to DATA_DIR/NAME/1.0.0, replacing what is there.

    Args:
      dataset: What to write.
      data_dir: Folder of all datasets.
      num_workers: Number of processes that load and encode; the bytes do not depend on it.

    Returns:
      The manifest.

    Raises:
      UserError: Another process is writing the same dataset, the folder holds something else, or
        files cannot be used and the dataset's `on_error` is fail: they are listed at the end.
    """
    folder = manifest.version_dir(data_dir, dataset.name)
    with _locked(folder.parent):
        _clear(folder)
        results = ordered_map(
            functools.partial(scene_records, dataset.load, dataset.format),
            [scene for shards in shard_plan(dataset).values() for s in shards for scene in s],
            num_workers=num_workers,
            total=len(dataset.scenes),
            description="writing",
            unit=" scenes",
        )
        builder = _Builder(dataset, data_dir, results, num_workers)
        with tempfile.TemporaryDirectory() as unused:  # TFDS insists on a folder for downloads.
            builder.download_and_prepare(file_format="array_record", download_dir=unused)
        assert next(results, None) is None  # Every scene is written; this also ends the bar.
    return builder.manifest


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the dataset's folder; the lock ends with the process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{folder}: another process is writing this dataset") from error
        yield


def _clear(folder: Path) -> None:
    """Remove a half-written or replaced version; the lock says that nobody is writing it."""
    for leftover in folder.parent.glob(f"incomplete.*_{folder.name}"):
        shutil.rmtree(leftover)
    if folder.exists():
        known = any((folder / name).exists() for name in (manifest.FILE_NAME, "dataset_info.json"))
        if not known and any(folder.iterdir()):
            raise UserError(f"{folder}: exists and holds no dataset; remove it or choose --name")
        shutil.rmtree(folder)
