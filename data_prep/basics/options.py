"""Values of command-line options (pure)."""

import argparse
import re
from pathlib import Path

from data_prep.basics.errors import UserError

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of every builder that reads files: --source, --seed and --on_error."""
    parser.add_argument("--source", type=Path, required=True, help="the folder to read")
    parser.add_argument("--seed", type=seed, default=0, help="seed of the division into splits")
    parser.add_argument(
        "--on_error",
        choices=("fail", "skip"),
        default="fail",
        help="what to do about files that cannot be used: fail: list them and stop; skip: go on"
        " without them and list them in the manifest",
    )


def fractions(text: str) -> tuple[float, float, float]:
    """Parse --splits: three shares whose sum is 1."""
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError as error:
        message = f"{text!r} is not TRAIN,VAL,TEST such as 0.7,0.1,0.2"
        raise argparse.ArgumentTypeError(message) from error
    shares = (train, val, test)
    if not all(0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise argparse.ArgumentTypeError(
            f"{text!r}: the shares must lie between 0 and 1, and their sum must be 1"
        )
    return shares


def counts(text: str) -> tuple[int, int, int]:
    """Parse --num_scenes: three whole numbers, not all 0."""
    try:
        train, val, test = (int(part) for part in text.split(","))
    except ValueError as error:
        message = f"{text!r} is not TRAIN,VAL,TEST such as 80,10,20"
        raise argparse.ArgumentTypeError(message) from error
    if min(train, val, test) < 0 or train + val + test == 0:
        raise argparse.ArgumentTypeError(
            f"{text!r}: the numbers of scenes must be 0 or above, at least one of them above 0"
        )
    return train, val, test


def positive(text: str) -> int:
    """Parse a whole number above 0."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def seed(text: str) -> int:
    """Parse a seed: a whole number, 0 or above."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or above")
    return number


def class_names(text: str) -> tuple[str, ...]:
    """Parse --classes: 2 to 255 different names."""
    names = tuple(name.strip() for name in text.split(","))
    if len(set(names)) < len(names) or not all(names) or not 2 <= len(names) <= 255:
        raise argparse.ArgumentTypeError(f"{text!r} is not 2 to 255 different names, comma between")
    return names


def snake_case(text: str) -> str:
    """Turn a folder's name into a dataset name: LEVIR-CD 256 -> levir_cd_256."""
    text = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text)
    text = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return text if _NAME.fullmatch(text) else f"data_{text}".rstrip("_")


def check_name(name: str) -> None:
    """Refuse a dataset name that TFDS cannot load.

    Raises:
      UserError: The name is not in snake case.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            f"--name={name}: write a lower-case letter, then lower-case letters, digits and _ (such"
            f" as {snake_case(name)})"
        )
