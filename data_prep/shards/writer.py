"""Writes a dataset as ArrayRecord shards described by TFDS, without TensorFlow."""

import contextlib
import fcntl
import functools
import itertools
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.basics import rejection
from data_prep.basics.dataset import Dataset
from data_prep.basics.errors import UserError
from data_prep.basics.parallel import ordered_map
from data_prep.shards import beam, checksums, manifest, shard_plan, twins
from data_prep.shards.records import SceneRecords, scene_records
from data_prep.shards.shard_file import (
    DeterministicWriter,
    Records,
    ShardFile,
    examples,
    features,
    tfds,
    write_shard,
)
from data_prep.shards.tally import Tally


class _Info(tfds.core.DatasetInfo):
    """The description of a dataset that is not public."""

    def initialize_from_bucket(self) -> None:
        """Do not look it up among the public ones (TFDS leaves a temporary folder each time)."""


# Why not tfds.core.GeneratorBasedBuilder: its shuffling writer spills to disk through TensorFlow
# once a split exceeds 1 GB. This builder streams shard by shard and keeps the order of the scenes.
class _Builder(tfds.core.ShardBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writes `dataset`: its name, features and scenes are taken from there."""

    VERSION = tfds.core.Version(manifest.VERSION)

    def __init__(
        self,
        dataset: Dataset,
        digests: Mapping[Path, str],
        data_dir: Path,
        results: Iterator[SceneRecords],
        runner: beam.Runner | None,
    ) -> None:
        self.name = dataset.name
        self._dataset = dataset
        self._digests = digests
        self._results = results
        self._runner = runner
        self._tally = Tally(dataset.format)
        self.manifest: dict[str, Any] = {}
        super().__init__(data_dir=data_dir)

    def _info(self) -> tfds.core.DatasetInfo:
        return _Info(builder=self, features=features(self._dataset.format))

    def _example_writer(self) -> Any:
        return DeterministicWriter(file_format=self.info.file_format)

    def _log_download_bytes(self) -> None:
        """Print nothing: nothing is downloaded, and the summary says where the dataset lies."""

    _log_download_done = _log_download_bytes

    def _shard_iterators_per_split(self, dl_manager: Any) -> Mapping[str, Sequence[Any]]:
        del dl_manager
        return {
            split: [functools.partial(self._shard_records, len(scenes)) for scenes in shards]
            for split, shards in shard_plan.of(self._dataset).items()
        }

    def _shard_records(self, num_scenes: int) -> Records:
        # The results come in the order of the scenes, and TFDS asks for the shards in that order.
        yield from examples(itertools.islice(self._results, num_scenes), self._tally)

    def _write_with_beam(self, runner: beam.Runner) -> None:
        # TFDS's own Beam path (4.9.10) has faults: it sorts the lengths of the shards as text, so
        # that from the eleventh shard on records are looked up in the wrong file; it writes the
        # first of three splits three times; and it leaves its notes in the folder.
        shards = {
            split: [
                ShardFile(Path(path), tuple(scenes))
                for path, scenes in zip(
                    self._get_filename_template(split).sharded_filepaths(len(plan)),
                    plan,
                    strict=True,
                )
            ]
            for split, plan in shard_plan.of(self._dataset).items()
        }
        results = beam.ordered_results(
            functools.partial(write_shard, self._dataset.load, self._dataset.format),
            [shard for of_split in shards.values() for shard in of_split],
            runner=runner,
            folder=Path(self.data_dir),
            description="writing",
            unit="shards",
        )
        infos = []
        for split, of_split in shards.items():
            lengths = []
            for _ in of_split:
                result = next(results)
                lengths.append(result["num_records"])
                self._tally.merge(result["tally"])
            infos.append(
                tfds.core.SplitInfo(
                    name=split,
                    shard_lengths=lengths,
                    num_bytes=sum(shard.path.stat().st_size for shard in of_split),
                    filename_template=self._get_filename_template(split),
                )
            )
        for leftover in Path(self.data_dir).glob("attempt-*"):  # Abandoned attempts.
            leftover.unlink()
        self.info.set_splits(tfds.core.SplitDict(infos))

    def _download_and_prepare(self, dl_manager: Any, download_config: Any = None) -> None:
        if self._runner is None:
            super()._download_and_prepare(dl_manager, download_config)
        else:
            self._write_with_beam(self._runner)
        dataset, tally = self._dataset, self._tally
        rejections = tally.rejections(dataset)
        rejection.check_usable(
            rejections,
            dataset.num_found,
            dataset.on_error,
            {scene.split for scene in dataset.scenes},
            tally.splits(),
        )
        sources: dict[str, str] = {}
        if dataset.source is not None:
            for path in sorted(tally.used):
                name = path.relative_to(dataset.source).as_posix()
                sources[name] = self._digests.get(path) or checksums.of_file(path)
        # TFDS works in a temporary folder and renames it at the end. The manifest is written there,
        # so shards and manifest appear together or not at all.
        folder = Path(self.data_dir)
        written = {
            path.name: checksums.of_file(path) for path in sorted(folder.glob("*.array_record*"))
        }
        self.manifest = manifest.make(dataset, tally, sources, written)
        manifest.write(folder, self.manifest)


def write(
    dataset: Dataset, data_dir: Path, *, num_workers: int, runner: beam.Runner | None = None
) -> dict[str, Any]:
    """Write a dataset to DATA_DIR/NAME/1.0.0, replacing the one that is there.

    Args:
      dataset: What to write.
      data_dir: Folder of all datasets.
      num_workers: Number of processes that load and encode; the bytes do not depend on it.
      runner: A runner of Apache Beam that loads and encodes in place of these processes; the bytes
        do not depend on it either. All its machines must see the source and `data_dir` under the
        same paths.

    Returns:
      The manifest.

    Raises:
      UserError: Another process is writing the same dataset, the folder holds something else, or
        files cannot be used and the dataset's `on_error` is fail; all such files are listed.
    """
    folder = manifest.version_dir(data_dir, dataset.name)
    with _locked(folder.parent):
        _clear(folder)
        dataset, digests = _without_twins(dataset, num_workers)
        scenes = [
            scene for shards in shard_plan.of(dataset).values() for s in shards for scene in s
        ]
        results = ordered_map(
            functools.partial(scene_records, dataset.load, dataset.format),
            scenes,
            num_workers=num_workers,
            description="writing",
            unit="scenes",
        )
        with (
            contextlib.closing(results),  # Ends the bar's line before an error is printed.
            # The folder lies beside the old version, which stays until the new one is complete;
            # `_clear` finds it by its name after a kill.
            tempfile.TemporaryDirectory(
                prefix="incomplete.", suffix=f"_{folder.name}", dir=folder.parent
            ) as new,
        ):
            builder = _Builder(dataset, digests, Path(new), results, runner)
            # TFDS insists on a folder for downloads.
            builder.download_and_prepare(file_format="array_record", download_dir=f"{new}/unused")
            # Every scene must have been written; next() also ends the bar.
            assert runner is not None or next(results, None) is None
            _put(manifest.version_dir(Path(new), dataset.name), folder)
    return builder.manifest


def _without_twins(dataset: Dataset, num_workers: int) -> tuple[Dataset, dict[Path, str]]:
    """Leave out images that a later split has, or refuse them; also return all checksums."""
    if dataset.source is None:
        return dataset, {}
    files = {path for scene in dataset.scenes for path in scene.files.values()}
    # A file that cannot be read has no checksum; the loader will report it.
    digests = {
        path: digest
        for path, (digest, _) in checksums.of_files(files, num_workers=num_workers).items()
        if digest
    }
    rest = twins.without_twins(dataset, digests)
    before, after = ({scene.split for scene in d.scenes} for d in (dataset, rest))
    rejection.check_usable(rest.rejected, rest.num_found, rest.on_error, before, after)
    return rest, digests


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the dataset's folder; the lock ends with the process, however the process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{folder}: another process is writing this dataset") from error
        yield


def clear(data_dir: Path, name: str) -> None:
    """Remove the leftovers of a build that was killed after its dataset was complete.

    Args:
      data_dir: Folder of all datasets.
      name: Name of the dataset, which stays as it is.
    """
    folder = manifest.version_dir(data_dir, name)
    if any(_leftovers(folder)):
        # If another build is running or the folder is read-only, the leftovers stay: no harm done.
        with contextlib.suppress(UserError, OSError), _locked(folder.parent):
            _clear(folder)


def _clear(folder: Path) -> None:
    """Remove the leftovers of a killed build; the caller holds the lock, so no build is running."""
    replaced = _replaced(folder)
    if replaced.exists() and not folder.exists():  # Killed between the two steps of `_put`.
        replaced.rename(folder)
    for leftover in _leftovers(folder):
        shutil.rmtree(leftover)
    known = any((folder / name).exists() for name in (manifest.FILE_NAME, "dataset_info.json"))
    if folder.exists() and not known and any(folder.iterdir()):
        raise UserError(f"{folder}: exists but holds no dataset; remove it or change --name")


def _leftovers(folder: Path) -> list[Path]:
    return list(folder.parent.glob(f"incomplete.*_{folder.name}"))


def _put(built: Path, folder: Path) -> None:
    """Move a complete version to its place, in steps that are atomic each."""
    if folder.exists():
        folder.rename(_replaced(folder))
    built.rename(folder)
    if _replaced(folder).exists():
        shutil.rmtree(_replaced(folder))


def _replaced(folder: Path) -> Path:
    return folder.with_name(f"incomplete.replaced_{folder.name}")
