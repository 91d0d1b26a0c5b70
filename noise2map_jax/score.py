r"""Score finished maps against masks: F1, IoU, precision and recall of whole scenes.

    python -m noise2map_jax.score --maps=MAP.tif --truth=MASK.tif
    python -m noise2map_jax.score --maps=maps --truth=test/masks --group_regex='([a-z]+)' \
        --output=scores.json

Maps are those of predict, or other images of class indices in which 255 is no data. Masks are those
that `data_prep` reads; 255 beside class indices is ignored.
"""

import argparse
import math
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_prep.basics.options import class_names
from data_prep.reading.masks import ENCODINGS
from noise2map_jax import strict_json
from noise2map_jax.class_maps.map_scores import (
    MapCounts,
    Pair,
    agreed_classes,
    count_maps,
    decide_encoding,
    pair_files,
)
from noise2map_jax.command_name import command_name
from noise2map_jax.errors import UserError
from noise2map_jax.evaluation.name_groups import OTHER, name_groups
from noise2map_jax.method.metrics import class_keys, summary
from noise2map_jax.progress import progress_bar

ALL = "all maps"  # the group that holds every map


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    command = command_name("noise2map-score", "noise2map_jax.score")
    parser = argparse.ArgumentParser(
        prog=command,
        description=(__doc__ or "").replace("python -m noise2map_jax.score", command),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    path = pathlib.Path
    parser.add_argument("--maps", type=path, required=True, help="a map, or a folder of maps")
    parser.add_argument(
        "--truth", type=path, required=True, help="its mask, or a folder of masks of their names"
    )
    parser.add_argument(
        "--classes",
        type=class_names,
        default=(),
        help="names of the classes, such as background,building (default: those in the map)",
    )
    parser.add_argument(
        "--mask_encoding",
        choices=("auto", *ENCODINGS),
        default="auto",
        help="what values of the masks mean, as in data_prep (default: what they hold decides)",
    )
    parser.add_argument(
        "--group_regex",
        default="",
        help="maps are scored together whose names agree in the first group of this pattern",
    )
    parser.add_argument("--output", type=path, help="also write all scores to this file of JSON")
    return parser.parse_args(argv)


def score(
    pairs: Sequence[Pair], classes: tuple[str, ...], encoding: str, pattern: str = ""
) -> dict[str, dict[str, Any]]:
    """Compare maps with masks.

    Args:
        pairs: maps and masks.
        classes: names of the classes.
        encoding: what values of the masks mean, see `decide_encoding`.
        pattern: maps are scored together whose names agree in its first group; empty: each map is
            scored by itself.

    Returns:
        The scores of `metrics.summary` by group of maps, all maps first; each also has the number
        of `maps`, the labelled `pixels` that were scored and those that are `unmapped`.

    Raises:
        UserError: a file or the pattern is wrong.
    """
    names = [pair.name for pair in pairs]
    groups = name_groups(names, pattern, "--group_regex") if pattern else names
    if pattern and set(groups) == {OTHER}:
        raise UserError(f"--group_regex={pattern!r} is in no name of a map, such as {names[0]!r}")
    if ALL in groups:
        raise UserError(f"maps are called {ALL!r}, as the line of all maps; rename them")
    counted = []
    with progress_bar(len(pairs), "maps", "maps") as bar:
        for one in count_maps(pairs, classes, encoding):
            counted.append(one)
            bar.update()
    scores = {ALL: _scores(counted, classes)}
    if not pattern and len(counted) == 1:
        return scores
    for group in sorted(set(groups)):
        maps = [one for one, name in zip(counted, groups, strict=True) if name == group]
        scores[group] = _scores(maps, classes)
    return scores


def _scores(maps: Sequence[MapCounts], classes: tuple[str, ...]) -> dict[str, Any]:
    confusion = np.sum([one.confusion for one in maps], axis=0)
    about = {"maps": len(maps), "pixels": int(confusion.sum())}
    unmapped = sum(one.num_unmapped for one in maps)
    return about | {"unmapped": unmapped} | summary(confusion, classes)


def table(scores: dict[str, dict[str, Any]], classes: tuple[str, ...]) -> str:
    """Write scores in % for people: a line for each group, and each foreground class of several.

    A class that is labelled nowhere has no score.
    """
    head = ("F1", "IoU", "precision", "recall", "megapixels")
    rows = []
    for group, found in scores.items():
        for name, key in zip(classes[1:], class_keys(classes)[1:], strict=True):
            values = [found[f"{metric}/{key}"] for metric in ("f1", "iou", "precision", "recall")]
            if math.isnan(found[f"recall/{key}"]):
                values = [math.nan] * len(values)
            label = group if len(classes) == 2 else f"{group}: {name}"
            cells = [_percent(value) for value in values] + [f"{found['pixels'] / 1e6:.3f}"]
            rows.append((label, cells))
    width = max(34, *(len(label) + 1 for label, _ in rows))
    lines = [f"{'in %':{width}}" + "".join(f"{name:>11}" for name in head)]
    lines += [f"{label:{width}}" + "".join(f"{c:>11}" for c in cells) for label, cells in rows]
    pixels, unmapped = scores[ALL]["pixels"], scores[ALL]["unmapped"]
    if unmapped:
        share = unmapped / (unmapped + pixels)
        lines.append(f"not scored: {share:.1%} of the labelled pixels, where maps have no data")
    elif not pixels:
        lines.append("nothing was scored: no pixel of the masks has a label")
    return "\n".join(lines)


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.2f}"


def _check_output(output: pathlib.Path, pairs: Sequence[Pair]) -> None:
    parent = output.absolute().parent
    if not parent.is_dir():
        raise UserError(f"no folder {parent} for --output")
    read = {path.resolve() for pair in pairs for path in (pair.map, pair.truth)}
    if output.suffix.lower() != ".json" or output.is_dir() or output.resolve() in read:
        raise UserError(f"--output={output} is not a file of JSON to write, such as scores.json")


def main(argv: list[str] | None = None) -> int:
    """Print scores; a user's mistake is one line on stderr and exit code 2."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    try:
        pairs = pair_files(arguments.maps, arguments.truth)
        if arguments.output:
            _check_output(arguments.output, pairs)
        classes = agreed_classes(pairs, arguments.classes)
        encoding, meaning = decide_encoding(pairs, classes, arguments.mask_encoding)
        scores = score(pairs, classes, encoding, arguments.group_regex)
        if arguments.output:
            content = {
                "maps": str(arguments.maps),
                "truth": str(arguments.truth),
                "classes": classes,
                "masks": meaning,
                "group_regex": arguments.group_regex,
                "scores": scores,
            }
            text = strict_json.dumps(content, indent=2)
            arguments.output.write_text(text + "\n", encoding="utf-8")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: cannot write --output={arguments.output}: {error}", file=sys.stderr)
        return 2
    print(table(scores, classes))
    print(f"masks: {meaning}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
