"""Surveys the files of a folder by their headers and a few pixels."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.basics.errors import UserError
from data_prep.basics.parallel import ordered_map
from data_prep.imagery.bands import ReadError
from data_prep.imagery.grid import Grid
from data_prep.imagery.image_file import open_image
from data_prep.reading.tree import every_file

_MOST_HEADERS = 200  # Files of a folder whose headers are read, spread evenly.
_MOST_READ = 3  # Files of a folder whose pixels are read.
_SIDE = 1024  # Pixels read at most along each side.


@dataclass(frozen=True)
class Header:
    """What the header of a file says.

    Attributes:
      size: Width and height as seen.
      kind: Bands and type, such as 3 x uint8.
      place: CRS and size of a pixel, or "no georeference".
      values: Least and greatest value of the pixels that were read; None if none were.
      problem: Why the file cannot be read as an image; empty if it can.
    """

    size: tuple[int, int] = (0, 0)
    kind: str = ""
    place: str = ""
    values: tuple[int, int] | None = None
    problem: str = ""


@dataclass
class Group:
    """The files of one folder that have one suffix.

    Attributes:
      folder: Path relative to the source; "." is the source itself.
      suffix: Suffix in lower case.
      files: The files.
      num_bytes: Their sizes together.
      headers: What the headers of some say; empty for files that are no images.
    """

    folder: str
    suffix: str
    files: list[Path] = field(default_factory=list)
    num_bytes: int = 0
    headers: list[Header] = field(default_factory=list)


def survey(source: Path, suffixes: Sequence[str], num_workers: int) -> list[Group]:
    """Survey a folder.

    Args:
      source: The folder.
      suffixes: Suffixes of files whose headers are read as those of images.
      num_workers: Number of processes.

    Returns:
      The groups, by folder and suffix.

    Raises:
      UserError: The source is no folder, or holds no file.
    """
    if not source.is_dir():
        raise UserError(f"{source}: {'not a folder' if source.exists() else 'not found'}")
    groups: dict[tuple[str, str], Group] = {}
    for path in sorted(every_file(source)):
        key = path.parent.relative_to(source).as_posix(), path.suffix.lower()
        group = groups.setdefault(key, Group(*key))
        group.files.append(path)
        group.num_bytes += path.stat().st_size if path.exists() else 0  # A link to nothing.
    if not groups:
        raise UserError(f"{source}: holds no file")
    chosen = [
        (index, path, number < _MOST_READ)
        for index, group in enumerate(groups.values())
        if group.suffix in suffixes
        for number, path in enumerate(_spread(group.files, _MOST_HEADERS))
    ]
    headers = ordered_map(
        read_header,
        [(path, is_read) for _, path, is_read in chosen],
        num_workers=num_workers,
        description="headers",
        unit="files",
    )
    every = list(groups.values())
    for (index, _, _), header in zip(chosen, headers, strict=True):
        every[index].headers.append(header)
    return every


def read_header(item: tuple[Path, bool]) -> Header:
    """Read a file's header, and its pixels if asked for."""
    path, is_read = item
    try:
        with open_image(path, by_windows=True) as image:
            values = None
            if is_read:
                window = (0, 0, min(image.grid.height, _SIDE), min(image.grid.width, _SIDE))
                pixels = image.read(window).pixels
                values = int(pixels.min()), int(pixels.max())
            size = image.grid.width, image.grid.height
            kind = f"{image.num_bands} x {image.dtype}"
            return Header(size, kind, _place(image.grid), values)
    except ReadError as error:
        return Header(problem=str(error))


def table(groups: Sequence[Group]) -> str:
    """Return the survey as a table for people."""
    rows = [("folder", "files", "size", "pixels", "bands", "place", "values")]
    problems: dict[str, list[str]] = defaultdict(list)
    for group in groups:
        good = [header for header in group.headers if not header.problem]
        for path, header in zip(_spread(group.files, _MOST_HEADERS), group.headers, strict=False):
            if header.problem:
                problems[header.problem].append(f"{group.folder}/{path.name}")
        values = [header.values for header in good if header.values]
        rows.append(
            (
                group.folder,
                f"{len(group.files)} {group.suffix or 'without suffix'}",
                _bytes(group.num_bytes),
                _most("{} x {}".format(*header.size) for header in good),
                _most(header.kind for header in good),
                _most(header.place for header in good),
                f"{min(v[0] for v in values)} to {max(v[1] for v in values)}" if values else "",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    for problem, names in problems.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        lines.append(f"not read as an image: {names[0]}{more}: {problem}")
    return "\n".join(lines)


def _spread(files: Sequence[Path], most: int) -> list[Path]:
    """Choose files spread evenly over a list."""
    if len(files) <= most:
        return list(files)
    return [files[i] for i in np.linspace(0, len(files) - 1, most).round().astype(int)]


def _place(grid: Grid) -> str:
    if not grid.is_placed:
        return "no georeference"
    name = grid.crs.to_string() if grid.crs else "no CRS"
    name = name if len(name) < 24 else "CRS given as WKT"
    step = float(np.hypot(grid.transform.a, grid.transform.d))
    unit = ("degrees" if grid.crs.is_geographic else grid.crs.linear_units) if grid.crs else "units"
    points = ", by control points" if grid.points else ", by polynomials" if grid.rpcs else ""
    return f"{name}, {step:.3g} {unit}{points}"


def _most(values: Iterator[str]) -> str:
    """Return the most frequent value, and how many others there are."""
    counts = Counter(values)
    if not counts:
        return ""
    others = f" (+{len(counts) - 1} others)" if len(counts) > 1 else ""
    return f"{counts.most_common(1)[0][0]}{others}"


def _bytes(number: int) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000  # type: ignore[assignment]
    return f"{number:.3g} TB"
