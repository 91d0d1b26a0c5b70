"""The parts that all builders of files share: common options, and the end of the plan."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.basics.dataset import Dataset, RecordFormat, Scene, in_order
from data_prep.basics.rejection import Rejection
from data_prep.reading.places import Places


def source_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that all builders of files share, as entries of the manifest."""
    return {
        "source": args.source.resolve().name,
        "tile_size": args.tile_size,
        "seed": args.seed,
        "on_error": args.on_error,
    }


def make(
    args: argparse.Namespace,
    name: str,
    records: RecordFormat,
    scenes: Sequence[Scene],
    load: Callable[[Scene], Mapping[str, np.ndarray]],
    *,
    options: Mapping[str, Any],
    layout: str,
    mask_encoding: str | None,
    split_rule: str,
    places: Places,
    notes: Sequence[str],
    rejected: Sequence[Rejection],
    num_found: int,
    source: Path | None = None,
    more: Mapping[str, Any] | None = None,
) -> Dataset:
    """Print layout, notes and warnings, and compose the dataset.

    Args:
      args: The parsed options; --source and --on_error are used.
      name: The dataset's name.
      records: The shape of every record.
      scenes: The scenes, in any order.
      load: See `Dataset`.
      options: Options that determine the records.
      layout: Layout of the source, in words.
      mask_encoding: What the masks' values mean; None if there are no masks.
      split_rule: How the scenes were divided, as a clause.
      places: Places of the scenes.
      notes: Notes on what a user may not expect, one sentence each.
      rejected: Files that cannot be used.
      num_found: Number of files found.
      source: Folder that paths in the manifest are relative to; None: --source.
      more: Further entries of the manifest.
    """
    print(f"layout: {layout}")
    for note in notes:
        print(f"note: {note}")
    for note in places.notes:
        print(f"warning: {note}")
    return Dataset(
        name,
        records,
        in_order(scenes),
        load,
        {
            "source": args.source.resolve().name,
            "options": dict(options),
            "layout": layout,
            "mask_encoding": mask_encoding,
            "split_rule": split_rule,
            "place_rule": places.rule,
            "places_known": places.known,
            "notes": [*notes, *places.notes],
            **(more or {}),
        },
        source=source or args.source,
        num_found=num_found,
        rejected=tuple(rejected),
        on_error=args.on_error,
    )
