"""What every builder that reads files ends with: it says what it found, and hands it on."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.dataset import Dataset, RecordFormat, Scene, in_order
from data_prep.rejection import Rejection


def make(
    args: argparse.Namespace,
    name: str,
    layout: RecordFormat,
    scenes: Sequence[Scene],
    load: Callable[[Scene], Mapping[str, np.ndarray]],
    *,
    about: Mapping[str, Any],
    rejected: Sequence[Rejection],
    num_found: int,
    source: Path | None = None,
) -> Dataset:
    """Print the notes and compose the dataset.

    Args:
      args: The parsed options; --source and --on_error are used.
      name: The dataset's name.
      layout: The shape of every record.
      scenes: In any order.
      load: See `Dataset`.
      about: options, layout, mask_encoding, split_rule and notes, for the manifest.
      rejected: Files that cannot be used.
      num_found: Number of files found.
      source: Folder that paths in the manifest are relative to; None: --source.
    """
    for note in about["notes"]:
        print(f"note: {note}")
    return Dataset(
        name,
        layout,
        in_order(scenes),
        load,
        {"source": args.source.resolve().name, **about},
        source=source or args.source,
        num_found=num_found,
        rejected=tuple(rejected),
        on_error=args.on_error,
    )
