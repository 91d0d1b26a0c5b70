"""What every builder that reads files ends with: it says what it found, and hands it on."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.ground.dataset import Dataset, RecordFormat, Scene, in_order
from data_prep.ground.rejection import Rejection
from data_prep.reading.places import Places


def make(
    args: argparse.Namespace,
    name: str,
    layout: RecordFormat,
    scenes: Sequence[Scene],
    load: Callable[[Scene], Mapping[str, np.ndarray]],
    *,
    about: Mapping[str, Any],
    places: Places,
    rejected: Sequence[Rejection],
    num_found: int,
    source: Path | None = None,
) -> Dataset:
    """Print notes and warnings and compose the dataset.

    Args:
      args: The parsed options; --source and --on_error are used.
      name: The dataset's name.
      layout: The shape of every record.
      scenes: In any order.
      load: See `Dataset`.
      about: options, layout, mask_encoding, split_rule and notes, for the manifest.
      places: Of the scenes.
      rejected: Files that cannot be used.
      num_found: Number of files found.
      source: Folder that paths in the manifest are relative to; None: --source.
    """
    for note in about["notes"]:
        print(f"note: {note}")
    for note in places.notes:
        print(f"warning: {note}")
    return Dataset(
        name,
        layout,
        in_order(scenes),
        load,
        {
            "source": args.source.resolve().name,
            **about,
            "place_rule": places.rule,
            "places_known": places.known,
            "notes": [*about["notes"], *places.notes],
        },
        source=source or args.source,
        num_found=num_found,
        rejected=tuple(rejected),
        on_error=args.on_error,
    )
