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
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from data_prep.basics.options import class_names
from data_prep.reading.masks import ENCODINGS
from noise2map_jax import strict_json
from noise2map_jax.command_name import command_name
from noise2map_jax.errors import UserError
from noise2map_jax.evaluation.name_groups import name_groups
from noise2map_jax.mapping.map_scores import MapCounts, count_maps, pair_files
from noise2map_jax.method.metrics import summary
from noise2map_jax.polygons.class_map import open_class_map
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
    pairs: Mapping[pathlib.Path, pathlib.Path],
    classes: tuple[str, ...],
    encoding: str = "auto",
    pattern: str = "",
) -> dict[str, dict[str, Any]]:
    """Compare maps with masks.

    Args:
        pairs: map -> its mask.
        classes: names of the classes.
        encoding: what values of the masks mean, see `count_maps`.
        pattern: maps are scored together whose names agree in its first group; empty: each map is
            scored by itself.

    Returns:
        The scores of `metrics.summary` by group of maps, all maps first; each also has the number
        of `maps`, the labelled `pixels` that were scored and those that are `unmapped`.

    Raises:
        UserError: a file or the pattern is wrong.
    """
    names = [path.stem for path in pairs]
    groups = name_groups(names, pattern, "--group_regex") if pattern else names
    counted = []
    with progress_bar(len(pairs), "maps", "maps") as bar:
        for one in count_maps(pairs, len(classes), encoding):
            counted.append(one)
            bar.update()
    scores = {ALL: _scores(counted, classes)}
    if not pattern and len(counted) == 1:
        return scores
    for group in sorted(set(groups)):
        maps = [one for one, name in zip(counted, groups, strict=True) if name == group]
        scores[group] = _scores(maps, classes)
    return scores


def named_classes(maps: Iterable[pathlib.Path]) -> tuple[str, ...]:
    """Return the names of the classes that maps tell, which must agree.

    Raises:
        UserError: a map does not name its classes, or two name others.
    """
    named: dict[tuple[str, ...], pathlib.Path] = {}
    for path in maps:
        with open_class_map(str(path)) as one:
            named.setdefault(one.classes, path)
    if len(named) > 1:
        told = "; ".join(f"{path} has {', '.join(names)}" for names, path in named.items())
        raise UserError(f"the maps name other classes, so they cannot be scored together: {told}")
    (classes,) = named
    return classes


def _scores(maps: Sequence[MapCounts], classes: tuple[str, ...]) -> dict[str, Any]:
    confusion = np.sum([one.confusion for one in maps], axis=0)
    about = {"maps": len(maps), "pixels": int(confusion.sum())}
    unmapped = sum(one.num_unmapped for one in maps)
    return about | {"unmapped": unmapped} | summary(confusion, classes)


def table(scores: dict[str, dict[str, Any]], classes: tuple[str, ...]) -> str:
    """Write scores in % for people: a line for each group, and each foreground class of several."""
    head = ("F1", "IoU", "precision", "recall", "megapixels")
    lines = [f"{'in %':34}" + "".join(f"{name:>11}" for name in head)]
    for group, found in scores.items():
        for name in classes[1:]:
            values = [found[f"{m}/{name}"] for m in ("f1", "iou", "precision", "recall")]
            label = group if len(classes) == 2 else f"{group}: {name}"
            cells = [_percent(value) for value in values] + [f"{found['pixels'] / 1e6:.3f}"]
            lines.append(f"{label:34}" + "".join(f"{cell:>11}" for cell in cells))
    if unmapped := scores[ALL]["unmapped"]:
        share = unmapped / (unmapped + scores[ALL]["pixels"])
        lines.append(f"not scored: {share:.1%} of the labelled pixels, where maps have no data")
    return "\n".join(lines)


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.2f}"


def main(argv: list[str] | None = None) -> int:
    """Print scores; a user's mistake is one line on stderr and exit code 2."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    try:
        if arguments.output and not arguments.output.absolute().parent.is_dir():
            raise UserError(f"no folder {arguments.output.absolute().parent} for --output")
        pairs = pair_files(arguments.maps, arguments.truth)
        classes = arguments.classes or named_classes(pairs)
        scores = score(pairs, classes, arguments.mask_encoding, arguments.group_regex)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(scores, classes))
    if arguments.output:
        text = strict_json.dumps({"maps": str(arguments.maps), "scores": scores}, indent=2)
        arguments.output.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
