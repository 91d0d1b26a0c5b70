"""`manifest.json`: what a dataset holds, where it comes from, and which files were rejected."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from data_prep.basics import strict_json
from data_prep.basics.dataset import IGNORE, TASKS, Dataset
from data_prep.basics.errors import UserError
from data_prep.reading import places
from data_prep.shards.tally import Tally

VERSION = "1.0.0"
# Version of the manifest and of the records. Format 1 had no places, and no mask without classes.
FORMAT = 2
FILE_NAME = "manifest.json"
EDGES = "mirrored"  # What tiles hold beyond the edges of an image; earlier versions left it black.

# The entries that a manifest must have, and their types. A list of one element means a list of any
# length, "*" any key; a key that ends in a question mark may be missing.
_SPLIT: dict[str, Any] = {
    "num_scenes": int,
    "num_places": int,
    "num_records": int,
    "class_pixels?": [int],
    "ignore_pixels": int,
    "num_with_change?": int,
    "bands?": list,
    "scenes": [str],
    "places": [str],
    "scene_records": [int],
}
_CONTENT: dict[str, Any] = {
    "name": str,
    "task": str,
    "tile_size": int,
    "num_bands": int,
    "dtype": str,
    "classes": [str],
    "first_change_class?": int,
    "source": str,
    "place_rule": str,
    "places_known": bool,
    "options?": dict,
    "edges?": str,
    "found": int,
    "used": int,
    "rejected": [{"path": str, "reason": str}],
    "splits": {"*": _SPLIT},
    "shards": {"*": str},
    "files": {"*": str},
    "sizes?": {"*": int},
}


def make(
    dataset: Dataset, tally: Tally, sources: Mapping[str, str], shards: Mapping[str, str]
) -> dict[str, Any]:
    """Compose the manifest of a dataset that was written.

    Args:
      dataset: The plan of the dataset.
      tally: Counts of what was written and what was rejected.
      sources: Source file, relative -> SHA-256.
      shards: Shard file -> SHA-256.

    Returns:
      The manifest. Every file found is either used or listed as rejected.
    """
    layout, source = dataset.format, dataset.source
    sizes = {name: (source / name).stat().st_size for name in sources} if source else {}
    splits = tally.splits()
    shared = places.shared(splits)
    rejected, used = tally.rejections(dataset), tally.num_used()
    assert used + len(rejected) == dataset.num_found, (used, len(rejected), dataset.num_found)
    return {
        "name": dataset.name,
        "version": VERSION,
        "format": FORMAT,
        "task": layout.task,
        "tile_size": layout.tile_size,
        "num_bands": layout.num_bands,
        "dtype": layout.dtype,
        "classes": list(layout.classes),
        "ignore_value": IGNORE,
        "edges": EDGES,
        **({"first_change_class": layout.first_change_class} if layout.task == "cd" else {}),
        **dataset.about,
        "notes": [*dataset.about["notes"], *([shared] if shared else [])],
        "found": dataset.num_found,
        "used": used,
        "rejected": [{"path": r.path, "reason": r.reason} for r in rejected],
        "splits": splits,
        "shards": dict(shards),
        "files": dict(sources),
        "sizes": sizes,
    }


def version_dir(data_dir: Path, name: str) -> Path:
    """Return the folder of a dataset's shards."""
    return data_dir / name / VERSION


def write(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest into the folder in which a version is being built."""
    text = strict_json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    (folder / FILE_NAME).write_text(text, encoding="utf-8")


def read(folder: Path) -> dict[str, Any] | None:
    """Read the manifest of a version folder.

    Args:
      folder: DATA_DIR/NAME/1.0.0.

    Returns:
      The manifest; None if there is no manifest, thus no complete dataset.

    Raises:
      UserError: The file is no manifest or of another format, or an entry has the wrong type.
    """
    path = folder / FILE_NAME
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a manifest ({error}); --overwrite builds again") from error
    if not isinstance(manifest, dict):
        raise UserError(f"{path}: not a manifest; --overwrite builds again")
    if manifest.get("format", 1) != FORMAT:
        raise UserError(
            f"{path}: written in format {manifest.get('format', 1)}, but this version reads format"
            f" {FORMAT} (1 has no places); --overwrite builds again"
        )
    if mistake := _mistake(manifest, _CONTENT) or _wrong_value(manifest):
        raise UserError(f"{path}: {mistake}; --overwrite builds again")
    return manifest


def _wrong_value(manifest: Mapping[str, Any]) -> str | None:
    for key, allowed in (("task", tuple(TASKS)), ("dtype", ("uint8", "uint16"))):
        if manifest[key] not in allowed:
            return f"{key} is {manifest[key]!r}, not one of {', '.join(allowed)}"
    for key in ("tile_size", "num_bands"):
        if manifest[key] < 1:
            return f"{key} is {manifest[key]}, not above 0"
    for split, entry in manifest["splits"].items():
        pixels, number = entry.get("class_pixels"), len(manifest["classes"])
        if pixels is not None and len(pixels) != number:
            return f"splits.{split} has class_pixels of {len(pixels)} classes, not {number}"
        for key in ("places", "scene_records"):
            if len(entry[key]) != len(entry["scenes"]):
                return (
                    f"splits.{split} has {len(entry[key])} {key} of {len(entry['scenes'])} scenes"
                )
    return None


def _mistake(value: Any, kind: Any, where: str = "") -> str | None:
    """Say which entry has the wrong type; None if all types are right."""
    wanted: type = kind if isinstance(kind, type) else type(kind)
    # In Python, True and False are ints as well.
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        return f"{where} is {repr(value)[:60]}, not {wanted.__name__}"
    return next(filter(None, (_mistake(*inner) for inner in _inside(value, kind, where))), None)


def _inside(value: Any, kind: Any, where: str) -> Iterator[tuple[Any, Any, str]]:
    """Yield each value of a list or an object with its kind and its path."""
    dot = f"{where}." if where else ""
    if isinstance(kind, list):
        yield from ((one, kind[0], f"{where}[{index}]") for index, one in enumerate(value))
    elif isinstance(kind, dict) and "*" in kind:
        yield from ((one, kind["*"], f"{dot}{name}") for name, one in value.items())
    elif isinstance(kind, dict):
        for name, of_key in kind.items():
            key = name.removesuffix("?")
            if key == name or key in value:
                yield value.get(key), of_key, f"{dot}{key}"


def black_edges(manifest: Mapping[str, Any]) -> str:
    """Say that an earlier version left black what lies beyond the edges; empty if it did not."""
    if "edges" in manifest:
        return ""
    ignored = {s: e["ignore_pixels"] for s, e in manifest["splits"].items() if e["ignore_pixels"]}
    if not ignored:  # Pixels beyond an edge are ignored, so no tile has any.
        return ""
    return (
        "an earlier version built it: where tiles reach beyond an image they are black; now they"
        " hold the image, mirrored, as maps do, and --overwrite builds it so. Its ignored pixels:"
        f" {', '.join(f'{number:,} in {split}' for split, number in ignored.items())}"
    )


def summary(manifest: Mapping[str, Any], folder: Path) -> str:
    """Return the closing lines of a build: counts and class fractions of each split, warnings."""
    lines = [f"{manifest['name']} ({manifest['task']}, {manifest['source']}) -> {folder}"]
    for split, entry in manifest["splits"].items():
        line = f"  {split:5s} {entry['num_scenes']:6d} scenes"
        line += f" of {entry['num_places']:6d} places" if manifest["places_known"] else ""
        line += f" {entry['num_records']:7d} records"
        lines.append(line + _fractions(manifest["classes"], entry))
    rejected = len(manifest["rejected"])
    if manifest["found"]:
        lines.append(
            f"  files: {manifest['used']} used + {rejected} rejected = {manifest['found']} found"
        )
    if black := black_edges(manifest):
        lines.append(f"warning: {black}")
    if shared := places.shared(manifest["splits"]):
        lines.append(f"warning: {shared}")
    if without := _without_foreground(manifest["splits"]):
        lines.append(f"warning: {without}")
    if absent := _absent_classes(manifest["classes"], manifest["splits"].get("train", {})):
        lines.append(f"warning: {absent}")
    return "\n".join(lines)


def _without_foreground(splits: Mapping[str, Any]) -> str:
    """Say in which splits nothing but background is labelled; empty if in none."""
    pixels = {
        split: entry["class_pixels"]
        for split, entry in splits.items()
        if entry["num_records"] and "class_pixels" in entry
    }
    empty = [split for split, counts in pixels.items() if not sum(counts[1:])]
    if not empty:
        return ""
    told = ", ".join(f"{s} (0 of {sum(pixels[s]):,} labelled pixels)" for s in empty)
    where = "any split: " if len(empty) == len(pixels) else ""
    return (
        f"no foreground in {where}{told}; F1 is not defined there: look at the masks, or divide the"
        " scenes otherwise"
    )


def _absent_classes(classes: Iterable[str], train: Mapping[str, Any]) -> str:
    """Name the classes that train has no pixel of; empty if it has some of all, or none at all."""
    counts = train.get("class_pixels", ())
    absent = [name for name, count in zip(classes, counts, strict=False) if not count]
    if not absent or not sum(counts[1:]):  # Without foreground another warning says more.
        return ""
    advice = "look at the masks"
    if counts[0] == 0:
        advice += "; where they hold NaN or no-data for it, --mask_nodata=0 takes that as class 0"
    return (
        f"none of the {sum(counts):,} labelled pixels of train is {', '.join(absent)}, so a network"
        f" cannot learn it: {advice}"
    )


def _fractions(classes: Iterable[str], entry: Mapping[str, Any]) -> str:
    if "class_pixels" not in entry:
        return ""
    valid = sum(entry["class_pixels"])
    ignored = entry.get("ignore_pixels", 0)
    parts = [
        f"{name} {pixels / max(valid, 1):.4f}"
        for name, pixels in zip(classes, entry["class_pixels"], strict=True)
    ]
    parts.append(f"ignored {ignored / max(valid + ignored, 1):.4f} of all pixels")
    if "num_with_change" in entry:
        parts.append(f"{entry['num_with_change']} records with change")
    return ", " + ", ".join(parts)
