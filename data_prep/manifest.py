"""`manifest.json`: what a dataset holds, where it comes from, and what was rejected and why."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data_prep.dataset import IGNORE, Dataset
from data_prep.errors import UserError
from data_prep.tally import Tally

VERSION = "1.0.0"
FILE_NAME = "manifest.json"


def make(
    dataset: Dataset, tally: Tally, sources: Mapping[str, str], shards: Mapping[str, str]
) -> dict[str, Any]:
    """Compose the manifest of a dataset that was written.

    Args:
      dataset: Its plan.
      tally: What was written and what was rejected.
      sources: Source file, relative -> SHA-256.
      shards: Shard file -> SHA-256.

    Returns:
      The manifest. Every file that was found is either used or listed as rejected.
    """
    layout, source = dataset.format, dataset.source
    sizes = {name: (source / name).stat().st_size for name in sources} if source else {}
    rejected, used = tally.rejections(dataset), tally.num_used()
    assert used + len(rejected) == dataset.num_found, (used, len(rejected), dataset.num_found)
    return {
        "name": dataset.name,
        "version": VERSION,
        "task": layout.task,
        "tile_size": layout.tile_size,
        "num_bands": layout.num_bands,
        "dtype": layout.dtype,
        "classes": list(layout.classes),
        "ignore_value": IGNORE,
        **({"first_change_class": layout.first_change_class} if layout.task == "cd" else {}),
        **dataset.about,
        "found": dataset.num_found,
        "used": used,
        "rejected": [{"path": r.path, "reason": r.reason} for r in rejected],
        "splits": tally.splits(),
        "shards": dict(shards),
        "files": dict(sources),
        "sizes": sizes,
    }


def version_dir(data_dir: Path, name: str) -> Path:
    """Return the folder of a dataset's shards."""
    return data_dir / name / VERSION


def write(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest into a folder that is not yet in its place."""
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    (folder / FILE_NAME).write_text(text, encoding="utf-8")


def read(folder: Path) -> dict[str, Any] | None:
    """Read the manifest of a version folder.

    Args:
      folder: SHARDS/NAME/1.0.0.

    Returns:
      The manifest; None where there is none, so where there is no whole dataset.

    Raises:
      UserError: The file is no manifest.
    """
    path = folder / FILE_NAME
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(f"{path}: not a manifest ({error}); --overwrite builds again") from error
    if not isinstance(manifest, dict):
        raise UserError(f"{path}: not a manifest; --overwrite builds again")
    return manifest


def summary(manifest: Mapping[str, Any], folder: Path) -> str:
    """Return the closing lines of a build: counts and class fractions of each split."""
    lines = [f"{manifest['name']} ({manifest['task']}, {manifest['source']}) -> {folder}"]
    for split, entry in manifest["splits"].items():
        line = f"  {split:5s} {entry['num_scenes']:6d} scenes {entry['num_records']:7d} records"
        lines.append(line + _fractions(manifest["classes"], entry))
    rejected = len(manifest["rejected"])
    if manifest["found"]:
        lines.append(
            f"  files: {manifest['used']} used + {rejected} rejected = {manifest['found']} found"
        )
    return "\n".join(lines)


def _fractions(classes: Iterable[str], entry: Mapping[str, Any]) -> str:
    if "class_pixels" not in entry:
        return ""
    valid = sum(entry["class_pixels"])
    ignored = entry["ignore_pixels"]
    parts = [
        f"{name} {pixels / max(valid, 1):.4f}"
        for name, pixels in zip(classes, entry["class_pixels"], strict=True)
    ]
    parts.append(f"ignored {ignored / (valid + ignored):.4f} of all pixels")
    if "num_with_change" in entry:
        parts.append(f"{entry['num_with_change']} records with change")
    return ", " + ", ".join(parts)
