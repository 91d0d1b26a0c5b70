"""Reads every file of a folder once, and decides which scenes can be used."""

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

import numpy as np

from data_prep.basics import rejection
from data_prep.basics.parallel import ordered_map
from data_prep.basics.rejection import Rejection
from data_prep.imagery.band_choice import AS_FLAGGED, BandChoice
from data_prep.imagery.bands import ReadError
from data_prep.imagery.files import read_grid
from data_prep.imagery.grid import Grid
from data_prep.imagery.image_file import open_image
from data_prep.imagery.mask_file import read_mask
from data_prep.reading import masks
from data_prep.reading.georeference import is_on_earth
from data_prep.reading.matching import Candidate
from data_prep.reading.places import Evidence
from data_prep.reading.scene_files import turn_between


@dataclass(frozen=True)
class FileFacts:
    """What one readable file holds.

    Attributes:
      height: Rows.
      width: Columns.
      num_bands: Number of bands without alpha; 1 for masks.
      dtype: uint8 or uint16.
      grid: Where it lies; height and width are those of the picture as seen.
      has_invalid: Whether some pixels are no-data.
      alpha_levels: See `bands.ImageRaster`; None if there is no alpha band.
      black: Share of pixels that count as data and are 0 in all bands.
      num_values: Number of values in all bands of an image together.
      notes: See `image_file.ImageFile`.
      histogram: Number of pixels of each mask value, [256], without pixels that have no data; None
        for images.
      is_index: See `bands.MaskRaster`.
    """

    height: int
    width: int
    num_bands: int
    dtype: str
    grid: Grid
    has_invalid: bool = False
    alpha_levels: int | None = None
    black: float = 0.0
    num_values: int = 0
    notes: tuple[str, ...] = ()
    histogram: np.ndarray | None = field(default=None, repr=False)
    is_index: bool = False


_FEW = 16  # Masks whose one value is larger hardly number classes.
Facts = Mapping[Path, FileFacts]


@dataclass(frozen=True)
class Verdict:
    """Which scenes can be used.

    Attributes:
      whole: Scenes whose files can all be used and fit together.
      rejected: The files of the other scenes.
      encoding: The mask encoding of the dataset.
      histogram: Number of pixels of each value over all readable masks, [256], without those
        whose values are known to be class indices.
    """

    whole: tuple[Candidate, ...]
    rejected: tuple[Rejection, ...]
    encoding: str
    histogram: np.ndarray


def inspect(num_classes: int, choice: BandChoice, item: tuple[str, Path]) -> FileFacts | str:
    """Read a (role, file); return its facts, or the reason why it cannot be used."""
    role, path = item
    try:
        if role == "mask":
            return _mask_facts(path, num_classes)
        with open_image(path, choice) as file:
            image = file.read()
            black = ~image.pixels.any(axis=-1)
            if image.valid is not None:
                black &= image.valid
            height, width, num_bands = image.pixels.shape
            return FileFacts(
                height,
                width,
                num_bands,
                file.dtype,
                file.grid,
                image.valid is not None,
                image.alpha_levels,
                float(black.mean()),
                int(np.count_nonzero(np.bincount(image.pixels.ravel()))),
                file.notes,
            )
    except ReadError as error:
        return str(error)


def _mask_facts(path: Path, num_classes: int) -> FileFacts:
    grid, mask = read_grid(path), read_mask(path)
    missing = masks.is_missing(mask, num_classes)
    values = mask.values if missing is None else mask.values[~missing]
    height, width = mask.values.shape
    return FileFacts(
        height,
        width,
        1,
        "uint8",
        grid,
        missing is not None,
        histogram=np.bincount(values.ravel(), minlength=256),
        is_index=mask.is_index,
    )


def inspect_all(
    candidates: Iterable[Candidate],
    num_workers: int,
    num_classes: int,
    choice: BandChoice = AS_FLAGGED,
) -> dict[Path, FileFacts | str]:
    """Read every file of the scenes once, see `inspect`."""
    files = [item for candidate in candidates for item in candidate.files.items()]
    results = ordered_map(
        functools.partial(inspect, num_classes, choice),
        files,
        num_workers=num_workers,
        description="reading",
        unit="files",
    )
    return dict(zip((path for _, path in files), results, strict=True))


def evidence(candidate: Candidate, inspected: Mapping[Path, FileFacts | str]) -> Evidence:
    """Return what is known about where a scene lies."""
    facts = (inspected[path] for path in candidate.files.values())
    grids = tuple(
        fact.grid
        for fact in facts
        if isinstance(fact, FileFacts) and fact.histogram is None and is_on_earth(fact.grid)
    )
    return Evidence(candidate.name, candidate.site, grids)


def judge(
    candidates: Sequence[Candidate],
    inspected: Mapping[Path, FileFacts | str],
    *,
    source: Path,
    dtype: str,
    num_classes: int,
    mask_encoding: str,
) -> Verdict:
    """Decide the mask encoding and which scenes can be used.

    Args:
      candidates: The scenes.
      inspected: Path -> facts, or the reason why the file cannot be read.
      source: Folder that rejected paths are relative to.
      dtype: The configured type of the images.
      num_classes: Number of classes.
      mask_encoding: auto, index, binary255 or nonzero.

    Returns:
      The verdict. Every file of a candidate is either in a whole scene or rejected.

    Raises:
      UserError: The mask encoding is ambiguous, or the one asked for does not fit.
    """
    facts = {path: fact for path, fact in inspected.items() if isinstance(fact, FileFacts)}
    bands = Counter(f.num_bands for f in facts.values() if f.histogram is None)
    usual_bands = bands.most_common(1)[0][0] if bands else 0
    histograms = {
        path.relative_to(source).as_posix(): fact.histogram
        for path, fact in facts.items()
        if fact.histogram is not None and not fact.is_index
    }
    histogram = sum(histograms.values(), np.zeros(256, np.int64))
    encoding = mask_encoding
    if encoding == "auto":
        masks.check_alike(histograms, num_classes)
        encoding = masks.decide_encoding(histogram, num_classes)
    masks.check_encoding(encoding, histogram, num_classes)

    def complaints(candidate: Candidate) -> Iterator[tuple[Path, str]]:
        first = None
        for path in candidate.files.values():
            fact = inspected[path]
            if isinstance(fact, str):
                yield path, fact
                continue
            first = first or (path, fact)
            reason = _complaint(fact, dtype, usual_bands, num_classes, encoding)
            reason = reason or _place_complaint(fact, path, first[1], first[0], source)
            if reason:
                yield path, reason

    whole: list[Candidate] = []
    rejected: list[Rejection] = []
    for candidate in candidates:
        reasons = dict(complaints(candidate))
        if reasons:
            rejected += rejection.of_scene(source, candidate.files.values(), reasons)
        else:
            whole.append(candidate)
    return Verdict(tuple(whole), tuple(rejected), encoding, histogram)


def _complaint(
    fact: FileFacts, dtype: str, usual_bands: int, num_classes: int, encoding: str
) -> str | None:
    if fact.histogram is None:
        if fact.dtype != dtype:
            return (
                f"has {fact.dtype} pixels, but --dtype={dtype} is configured"
                f" (--dtype={fact.dtype} takes them)"
            )
        if fact.num_bands != usual_bands:
            common = ",".join(str(i + 1) for i in range(min(fact.num_bands, usual_bands)))
            grey = "; gdal_translate -b 1 -b 1 -b 1 IN OUT.tif makes three bands of grey"
            return (
                f"has {fact.num_bands} band(s), but most images have {usual_bands}"
                f" (--bands={common} reads the same of all{grey if common == '1' else ''})"
            )
        return None
    wrong = masks.wrong_values(fact.histogram, num_classes, "index" if fact.is_index else encoding)
    if not wrong:
        return None
    values = ", ".join(map(str, wrong[:5])) + (", ..." if len(wrong) > 5 else "")
    how = "--classes=NAME,NAME,... names more"
    if num_classes == 2 and wrong[-1] > masks.THRESHOLD:
        how += ", --mask_encoding=binary255 takes values above 127 as foreground"
    elif num_classes == 2 and len(np.flatnonzero(fact.histogram[1:])) == 1 and wrong[0] > _FEW:
        how += ", --mask_encoding=nonzero takes all but 0 as foreground"
    return (
        f"holds value(s) {values}; a mask of {num_classes} classes holds 0 to {num_classes - 1} and"
        f" 255 = ignore ({how})"
    )


def _place_complaint(
    fact: FileFacts, path: Path, first: FileFacts, first_path: Path, source: Path
) -> str | None:
    try:
        turn_between(fact.grid, first.grid, first_path.relative_to(source).as_posix())
    except ReadError as error:
        turned = "".join(f" ({note})" for note in fact.notes + first.notes)
        if not (fact.grid.is_placed and first.grid.is_placed):
            return f"{error}{turned}"
        files = f"--image={quote(str(path))} --onto={quote(str(first_path))}"
        mask = "" if fact.histogram is None else " --mask"
        return (
            f"{error} (python -m data_prep warp {files} --output=WARPED.tif{mask} writes it there;"
            f" put WARPED.tif in its place){turned}"
        )
    return None
