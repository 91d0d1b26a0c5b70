"""Spreads work over machines by Apache Beam and yields the results in order."""

import argparse
import functools
import importlib.util
import json
import os
import shlex
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from data_prep.basics import strict_json
from data_prep.basics.errors import UserError
from data_prep.basics.progress import progress_bar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Runner:
    """A Beam runner and its options.

    Attributes:
      name: Name of a Beam runner, such as DirectRunner.
      flags: The runner's own options, such as --direct_num_workers=4.
    """

    name: str
    flags: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a Beam runner."""
    parser.add_argument(
        "--beam_runner",
        metavar="RUNNER",
        help="write the shards with this runner of Apache Beam, for instance DirectRunner; its"
        " machines must see the source and --data_dir under the same paths",
    )
    parser.add_argument(
        "--beam_options",
        metavar="FLAGS",
        help="the runner's own options in one string, such as"
        ' --beam_options="--direct_num_workers=4 --direct_running_mode=multi_processing"',
    )


def runner(name: str | None, options: str | None) -> Runner | None:
    """Make a runner from the user's options.

    Args:
      name: --beam_runner; None: Beam is not used.
      options: --beam_options, flags as in a shell.

    Returns:
      The runner; None if Beam is not used.

    Raises:
      UserError: Beam is not installed, there is no such runner, or options are given without one.
    """
    if name is None:
        if options is not None:
            raise UserError(
                "--beam_options needs --beam_runner, such as --beam_runner=DirectRunner"
            )
        return None
    if importlib.util.find_spec("apache_beam") is None:
        raise UserError(
            f"--beam_runner={name} needs Apache Beam: pip install 'noise2map_jax[beam]'"
        )
    with _quiet():
        from apache_beam.runners.runner import create_runner
    try:
        flags = tuple(shlex.split(options or ""))
    except ValueError as error:
        raise UserError(f"--beam_options={options}: {error}") from error
    if wrong := [flag for flag in flags if not flag.startswith("--")]:
        raise UserError(
            f"--beam_options: {wrong[0]!r} is not a flag such as --direct_num_workers=4"
        )
    try:
        create_runner(name)
    except (ValueError, ImportError, AttributeError) as error:
        message = " ".join(str(error).split())
        raise UserError(f"--beam_runner={name}: {message}") from error
    return Runner(name, flags)


def ordered_results(
    function: Callable[[Item], Any],
    items: Sequence[Item],
    *,
    runner: Runner,
    folder: Path,
    description: str,
    unit: str,
) -> Iterator[Any]:
    """Yield function(item) for each item, in order, once all items are done; show a progress bar.

    Args:
      function: Picklable; its result can be written as JSON.
      items: What to work on.
      runner: Runs the pipeline.
      folder: A folder that all machines see; each result is stored there and removed at the end.
      description: What the progress bar says is being done.
      unit: What the progress bar counts.

    Yields:
      The results as read back from JSON, one at a time in memory.

    Raises:
      UserError: The function raised a `UserError`, or the pipeline failed.
    """
    with _quiet():
        import apache_beam
        from apache_beam.options.pipeline_options import PipelineOptions

    parts = [folder / f"part-{index:05d}.json" for index in range(len(items))]
    work = functools.partial(_leave_result, function)
    try:
        with (
            _quiet(),
            _progress(parts, description, unit),
            apache_beam.Pipeline(runner.name, PipelineOptions(list(runner.flags))) as pipeline,
        ):
            _ = (
                pipeline
                | apache_beam.Create(list(zip(parts, items, strict=True)))
                | apache_beam.Reshuffle()  # Keeps runners from fusing all items into one task.
                | apache_beam.Map(work)
            )
    except Exception as error:  # Runners fail with nearly any type: no connection, no memory, ...
        lines = str(error).strip().splitlines() or [""]
        message = f"{type(error).__name__}: {lines[-1] if len(lines) > 1 else lines[0]}"
        raise UserError(f"--beam_runner={runner.name}: the pipeline failed ({message})") from error
    for part in parts:
        result = json.loads(part.read_text(encoding="utf-8"))
        part.unlink()
        if "error" in result:
            raise UserError(result["error"])
        yield result["value"]


def _leave_result(function: Callable[[Item], Any], element: tuple[Path, Item]) -> None:
    """Work on one item, on any machine; its result file appears complete or not at all.

    Runners may try an item several times.
    """
    part, item = element
    try:
        result = {"value": function(item)}
    except (UserError, OSError) as error:
        # A mistake of the user or a full disk: another attempt would not help.
        result = {"error": str(error)}
    attempt = part.with_name(f"{part.name}.{uuid.uuid4().hex}")
    attempt.write_text(strict_json.dumps(result), encoding="utf-8")
    os.replace(attempt, part)


@contextmanager
def _progress(parts: Sequence[Path], description: str, unit: str) -> Iterator[None]:
    """Show progress by counting the result files: runners share no other report of progress."""
    finished = threading.Event()

    def watch() -> None:
        with progress_bar(len(parts), description, unit) as bar:
            done = False
            while not done:
                done = finished.wait(bar.mininterval)
                # In any order, but about that of the list: what is there stays there.
                bar.update(sum(part.exists() for part in parts) - bar.n)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide warnings about Beam's own use of Python: neither the user nor we can mend it."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        yield
