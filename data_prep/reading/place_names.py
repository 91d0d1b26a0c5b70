"""The user's rule for which scenes show one place: a pattern or a table of names."""

import argparse
import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from data_prep.basics.errors import UserError
from data_prep.imagery.files import SUFFIXES

_COLUMNS = ("scene", "place")


@dataclass(frozen=True)
class PlaceNames:
    """Finds the place of a scene by the scene's name.

    Attributes:
      option: The option as it was given, for messages: --places=towns.csv.
      rule: Which scenes are one place, as a clause.
      place_of: Name of a scene -> its place; empty if the rule says nothing about the scene.
    """

    option: str
    rule: str
    place_of: Callable[[str], str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the places of scenes."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--group_regex",
        type=pattern,
        metavar="PATTERN",
        help="which scenes show one place: a regular expression, searched in the names of scenes,"
        r" whose first group names the place, such as '(.+)_\d+$' for crops numbered within a"
        " mosaic; splits never divide a place",
    )
    how.add_argument(
        "--places",
        type=Path,
        metavar="FILE.csv",
        help="which scenes show one place: a table with the columns scene (name of an image, with"
        " or without suffix) and place, one row a scene; splits never divide a place",
    )


def pattern(text: str) -> str:
    """Parse --group_regex: a regular expression with a group."""
    try:
        num_groups = re.compile(text).groups
    except re.error as error:
        message = f"{text!r} is not a regular expression ({error})"
        raise argparse.ArgumentTypeError(message) from error
    if not num_groups:
        raise argparse.ArgumentTypeError(f"{text!r} has no group (...) that names the place")
    return text


def options(args: argparse.Namespace) -> dict[str, str]:
    """Return the options that were given, as entries of the manifest."""
    given = {"group_regex": args.group_regex, "places": args.places and args.places.name}
    return {name: value for name, value in given.items() if value is not None}


def given(args: argparse.Namespace) -> PlaceNames | None:
    """Return the rule that the options give; None if no option was given.

    Raises:
      UserError: The table cannot be read, lacks a column, or contradicts itself.
    """
    if args.group_regex is not None:
        return by_pattern(args.group_regex)
    return None if args.places is None else by_table(args.places)


def by_pattern(text: str) -> PlaceNames:
    """Name places by the first group of a pattern's first match in a scene's name."""
    option = f"--group_regex={text}"
    rule = f"scenes whose names have the same first group of {option} are one place"

    def place_of(name: str) -> str:
        match = re.search(text, name)
        return (match[1] or "") if match else ""

    return PlaceNames(option, rule, place_of)


def by_table(path: Path) -> PlaceNames:
    """Name places by a table: CSV in UTF-8 with the columns scene and place.

    Raises:
      UserError: The table cannot be read, lacks a column or a value, or gives a scene two places.
    """
    option = f"--places={path}"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            if missing := set(_COLUMNS) - set(rows.fieldnames or ()):
                raise UserError(
                    f"{option}: no column {', '.join(sorted(missing))} in the first line,"
                    f" '{','.join(rows.fieldnames or ())}'; expected scene,place"
                )
            table: dict[str, str] = {}
            for row in rows:
                scene, place = ((row[column] or "").strip() for column in _COLUMNS)
                if not scene or not place:
                    raise UserError(f"{option}: line {rows.line_num} has no scene or no place")
                if table.setdefault(scene, place) != place:
                    raise UserError(
                        f"{option}: line {rows.line_num} says that {scene} lies in {place}, but an"
                        f" earlier line says {table[scene]}"
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{option}: cannot be read ({error})") from error

    def place_of(name: str) -> str:
        return table.get(name) or without_suffix.get(name, "")

    files = {PurePosixPath(scene): at for scene, at in table.items()}
    without_suffix = {
        str(name.with_suffix("")): at
        for name, at in files.items()
        if name.suffix.lower() in SUFFIXES
    }
    return PlaceNames(option, f"places of scenes are as in {option}", place_of)
