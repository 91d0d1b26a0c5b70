"""Writes one shard, an ArrayRecord file that TFDS reads; the same records give the same bytes."""

import functools
import os
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.basics.dataset import RecordFormat, Scene
from data_prep.shards.records import SceneRecords, scene_records
from data_prep.shards.tally import Tally

with warnings.catch_warnings():
    # Libraries below TFDS use deprecated parts of the standard library and NumPy; neither the user
    # nor we can mend that. This is the only place where data_prep imports TFDS.
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", FutureWarning)
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import example_serializer as tfds_serializer
    from tensorflow_datasets.core import writer as tfds_writer
    from tensorflow_datasets.proto import tf_example_pb2

Records = Iterator[tuple[str, dict[str, Any]]]


def features(layout: RecordFormat) -> tfds.features.FeaturesDict:
    """Return the TFDS features of a dataset's records."""
    side = layout.tile_size

    # Plain bytes are read five times as fast as PNG (`python -m benchmarks data_prep`), and
    # ArrayRecord's compression keeps the files within 30 % of PNG's size.
    def array(bands: int, dtype: str) -> tfds.features.Tensor:
        return tfds.features.Tensor(
            shape=(side, side, bands), dtype=np.dtype(dtype), encoding=tfds.features.Encoding.BYTES
        )

    entries: dict[str, Any] = {"id": tfds.features.Text(), "place": tfds.features.Text()}
    entries |= {name: array(layout.num_bands, layout.dtype) for name in layout.images}
    entries["mask"] = array(1, "uint8")
    if layout.task == "cd":
        entries["has_change"] = tfds.features.Scalar(np.bool_)
    return tfds.features.FeaturesDict(entries)


def examples(results: Iterable[SceneRecords], tally: Tally) -> Records:
    """Yield the records of scenes in the form that TFDS takes, and count them."""
    for result in results:
        tally.add(result)
        yield from result.records


class DeterministicWriter(tfds_writer.ExampleWriter):
    """Writes the same bytes for the same records.

    A record is a protobuf map. TFDS serialises its entries in an order that changes from process to
    process; here they are sorted.
    """

    def write(self, path: Any, examples: Any) -> Any:
        """Write (key, serialised record) pairs to a file."""
        ordered = (
            (key, tf_example_pb2.Example.FromString(text).SerializeToString(deterministic=True))
            for key, text in examples
        )
        return super().write(path, ordered)


@dataclass(frozen=True)
class ShardFile:
    """One file of records to write, on any machine."""

    path: Path
    scenes: tuple[Scene, ...]


def write_shard(
    load: Callable[[Scene], Mapping[str, np.ndarray]], layout: RecordFormat, shard: ShardFile
) -> dict[str, Any]:
    """Write one shard; return the number of its records and its tally, as JSON can hold it."""
    tally = Tally(layout)
    specification = features(layout)
    writer = tfds_writer.ShardWriter(
        features=specification,
        serializer=tfds_serializer.ExampleSerializer(specification.get_serialized_info()),
        example_writer=DeterministicWriter(
            file_format=tfds.core.file_adapters.FileFormat.ARRAY_RECORD
        ),
    )
    results = map(functools.partial(scene_records, load, layout), shard.scenes)
    # Runners may work on a shard twice, even at the same time.
    attempt = shard.path.with_name(f"attempt-{uuid.uuid4().hex}")
    number = writer.write(path=attempt, examples=examples(results, tally))
    os.replace(attempt, shard.path)
    return {"num_records": number, "tally": tally.to_json()}
