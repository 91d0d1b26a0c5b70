"""What a run's folder holds at one moment, and the order in which a copy of it is made.

A unit is a file, or a folder `checkpoints/latest/<step>` or `checkpoints/best/<step>` as a whole:
Orbax renames it into its place when it is complete, and changes nothing in it later.
"""

import contextlib
import os
import pathlib
import re
import shutil
from collections.abc import Iterable, Iterator

CHECKPOINTS = "checkpoints"
_STEP = re.compile(rf"((?:.*/)?{CHECKPOINTS}/(?:latest|best))/(\d+)(?:/(.*))?")


def step_of(name: str) -> str | None:
    """Return the folder of the step that a file belongs to, or None: `checkpoints/latest/10`."""
    found = _STEP.fullmatch(name)
    return f"{found[1]}/{found[2]}" if found else None


def is_step(unit: str) -> bool:
    """Whether a unit is a checkpoint."""
    return step_of(unit) == unit


def is_log(unit: str) -> bool:
    """Whether a unit is appended to: a log may be ahead of a checkpoint, but not behind it."""
    return unit.endswith(".jsonl") or "tensorboard" in unit.split("/")[:-1]


def newest_steps(steps: Iterable[str]) -> set[str]:
    """Of the steps in each folder keep the last: earlier ones are about to be removed."""
    newest: dict[str, int] = {}
    for step in steps:
        folder, _, number = step.rpartition("/")
        newest[folder] = max(newest.get(folder, -1), int(number))
    return {f"{folder}/{number}" for folder, number in newest.items()}


def take(folder: pathlib.Path) -> dict[str, int]:
    """List the units in a folder.

    Returns:
        By its name, the time when each unit last changed or came into its place, in ns, in the
        order for copying: logs first, then the others as they came.
    """
    found = dict(_walk(folder, ""))
    newest = newest_steps(filter(is_step, found))
    kept = {unit: time for unit, time in found.items() if not is_step(unit) or unit in newest}

    def place(item: tuple[str, int]) -> tuple[bool, int, bool, str]:
        unit, time = item
        # Times may be alike: a file that says that a checkpoint is there comes after it.
        return not is_log(unit), time, not is_step(unit), unit

    return dict(sorted(kept.items(), key=place))


def _walk(folder: pathlib.Path, name: str) -> Iterator[tuple[str, int]]:
    entries: list[os.DirEntry[str]] = []
    with contextlib.suppress(FileNotFoundError):  # removed in between, as below
        entries = sorted(os.scandir(folder / name), key=lambda entry: entry.name)
    for entry in entries:
        inner = f"{name}/{entry.name}" if name else entry.name
        if entry.is_dir() and not is_step(inner):
            yield from _walk(folder, inner)
        elif is_step(inner) or not (CHECKPOINTS in inner.split("/") or inner.endswith(".tmp")):
            with contextlib.suppress(FileNotFoundError):
                # Of a folder, renaming changes this time, and nothing else does.
                yield inner, entry.stat().st_ctime_ns


def hold(
    folder: pathlib.Path, unit: str, time: int, place: pathlib.Path
) -> dict[str, pathlib.Path]:
    """Keep the files of a unit as they are now, whatever becomes of them.

    Args:
        folder: the run's folder.
        unit: the name of a unit.
        time: when it changed, from `take`.
        place: a folder on the same disk.

    Returns:
        The path of each file by its name in the run; empty if it is changing or gone.
    """
    try:
        if not is_step(unit):
            (place / unit).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / unit, place / unit)
            changed = (folder / unit).stat().st_ctime_ns != time
            return {} if changed and not is_log(unit) else {unit: place / unit}
        files = {}
        for path in sorted((folder / unit).rglob("*")):
            if path.is_file():
                name = path.relative_to(folder).as_posix()
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                os.link(path, place / name)
                files[name] = place / name
        return files if (folder / unit).stat().st_ctime_ns == time else {}
    except FileNotFoundError:
        return {}
