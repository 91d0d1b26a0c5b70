"""All builders by name, and their command lines."""

import argparse
import os
from pathlib import Path
from types import ModuleType

from data_prep.basics.options import positive
from data_prep.builders import aid, folder, spacenet7, synthetic, whu, xview2
from data_prep.shards import beam

# NAME -> a module with add_arguments, default_name, options and plan.
BUILDERS: dict[str, ModuleType] = {
    "folder": folder,
    "synthetic": synthetic,
    "spacenet7": spacenet7,
    "aid": aid,
    "whu": whu,
    "xview2": xview2,
}


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the options of a builder: those that all have, then its own."""
    parser.add_argument("--data_dir", type=Path, required=True, help="folder of all datasets")
    parser.add_argument("--name", help="name of the dataset, in snake case")
    parser.add_argument(
        "--tile_size", type=positive, default=256, help="side of the tiles in pixels"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing dataset")
    parser.add_argument(
        "--num_workers", type=positive, default=os.cpu_count() or 1, help="number of processes"
    )
    beam.add_arguments(parser)
    BUILDERS[name].add_arguments(parser)  # Last: it may change the defaults of the options above.
