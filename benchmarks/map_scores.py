"""Sums up scores of whole maps over seeds, for each way in which maps were made.

Maps are made and scored first; names of the ways are free:

    python -m noise2map_jax.predict --workdir=runs/ss_0 --image=test/images --output=maps/0
    python -m noise2map_jax.score --maps=maps/0 --truth=test/masks --output=0.json
    python -m benchmarks map_scores --scores 'tiles of 384=0.json,1.json,2.json'
"""

import argparse
import json
import pathlib
from typing import Any

from benchmarks import machine
from benchmarks.recipes import spread
from noise2map_jax.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--scores", nargs="+", required=True, help="NAME=FILE,FILE: a way, and its files of scores"
    )


def run(arguments: argparse.Namespace) -> None:
    """Read, sum up, and print the result."""
    ways: dict[str, list[pathlib.Path]] = {}
    for name, paths in map(_way, arguments.scores):
        if name in ways:
            raise UserError(f"--scores names {name!r} twice; give its files in one")
        ways[name] = paths
    result = {
        "summed_up_on": machine.describe(),
        "command": "python -m benchmarks map_scores --scores "
        + " ".join(f"'{name}={_names(paths)}'" for name, paths in ways.items()),
        "summary": {name: summary(name, paths) for name, paths in ways.items()},
    }
    machine.report(result, arguments.output)


def summary(way: str, paths: list[pathlib.Path]) -> dict[str, Any]:
    """Return foreground F1 of each group of maps over files: mean, spread, least, most, and each.

    Raises:
        UserError: a file is missing, or the maps of two files were scored on other pixels.
    """
    found = []
    for path in paths:
        try:
            found.append(json.loads(path.read_text())["scores"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{way}: {path} holds no scores of maps ({error})") from None
    pixels = [{group: scores["pixels"] for group, scores in one.items()} for one in found]
    for path, counted in zip(paths, pixels, strict=True):
        if counted != pixels[0]:
            raise UserError(f"{way}: {paths[0]} and {path} were not scored on the same pixels")
    values = {group: [one[group]["f1/foreground"] for one in found] for group in found[0]}
    return {
        group: spread(each) | {"each": each} for group, each in values.items() if None not in each
    }


def _way(text: str) -> tuple[str, list[pathlib.Path]]:
    name, _, files = text.partition("=")
    if not all(files.split(",")):
        raise UserError(f"{text!r} is not NAME=FILE,FILE")
    return name, [pathlib.Path(file) for file in files.split(",")]


def _names(paths: list[pathlib.Path]) -> str:
    return ",".join(path.name for path in paths)
