"""`python -m data_prep inspect FOLDER`: say what a folder holds, and how to build a dataset."""

import argparse
import os
import shlex
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from data_prep.advice import contents, trial
from data_prep.basics.errors import UserError
from data_prep.basics.options import positive
from data_prep.reading.role_names import Names, names_split_alone

_MOST_PARTS = 5  # Folders that are named.
_CONFIGS = {"ss": "ss_buildings", "cd": "cd_levir", "denoise": "pretrain_unlabelled"}
_CROP = 128  # Side of the crops of ss_buildings; at its least scale, 0.5, they need tiles of 256.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("source", type=Path, help="the folder to look at")
    parser.add_argument(
        "--num_workers", type=positive, default=os.cpu_count() or 1, help="number of processes"
    )


def run(args: argparse.Namespace) -> None:
    """Print what the folder holds, what each builder that reads it would make of it, and how.

    Raises:
      UserError: The folder is not there, or no builder reads it; the message says what stands in
        the way.
    """
    groups = contents.survey(args.source, trial.IMAGE_SUFFIXES, args.num_workers)
    print(contents.table(groups))
    found, problem = trial.advise(args.source, groups, args.num_workers)
    if not found:
        raise UserError(f"no builder reads {args.source} as it is. {problem}{_parts(groups, args)}")
    for one in found:
        print(f"\n{trial.summary(one)}")
        for line in _rejected(one):
            print(line)
        print(f"build it:  {one.command(args.source)}")
        print(f"train:     {_training(one)}")


def _parts(groups: Sequence[contents.Group], args: argparse.Namespace) -> str:
    """Name the folders that may be datasets of their own: those that hold folders of images."""
    deep = {Path(group.folder).parts[0] for group in groups if len(Path(group.folder).parts) > 1}
    tables = Names("ss"), Names("cd")
    parts = sorted(
        name
        for name in deep
        if not names_split_alone(name) and not any(table.of_folder(name) for table in tables)
    )
    if len(parts) < 2:
        return ""
    first = shlex.quote(str(args.source / parts[0]))
    return (
        f"\nif {', '.join(parts[:_MOST_PARTS])} are datasets of their own, look at each:"
        f" python -m data_prep inspect {first}"
    )


def _rejected(one: trial.Trial) -> list[str]:
    """List files that would be left out, one line a reason."""
    assert one.dataset is not None
    names: dict[str, list[str]] = defaultdict(list)
    for rejection in one.dataset.rejected:
        if rejection.is_cause:
            names[rejection.reason].append(rejection.path)
    return [
        f"left out: {len(paths)} file(s), such as {', '.join(paths[:3])}: {reason}"
        for reason, paths in names.items()
    ]


def _training(one: trial.Trial) -> str:
    """Write the command that trains on the dataset with the recipe of its task."""
    assert one.dataset is not None
    records = one.dataset.format
    options = [
        f"--config={_CONFIGS[records.task]}",
        f"--config.data.dataset={one.name}",
        f"--workdir=runs/{one.name}",
    ]
    if records.num_bands != 3:
        options.append(f"--config.data.num_bands={records.num_bands}")
    if records.dtype != "uint8":
        options.append(f"--config.data.dtype={records.dtype} --config.data.scaling=manifest")
    options.append(f"--config.data.tile_size={records.tile_size}")
    if records.task == "ss" and records.tile_size < 2 * _CROP:
        crop = min(_CROP, records.tile_size)
        options.append(f"--config.augment.crop_size={crop} --config.augment.zoom=1.0,1.2")
    if records.num_bands != 3 and records.task != "denoise":
        # What else is shipped fits three bands. A share of it was measured with all tensors alone.
        options.append("--config.init_parts=backbone")
        if records.task == "ss":
            options.append("--config.train.initial_share=0.0")
    return f"python -m noise2map_jax.main {' '.join(options)}"
