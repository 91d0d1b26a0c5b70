"""Rank methods as in the paper: by F1 averaged over datasets, ties by averaged IoU.

    python -m noise2map_jax.rank RUN [METHOD=]RUN ... [--split=test] [--output=rank.csv]

A RUN is the folder of an evaluated run (METHOD defaults to the folder's name), the folder of a
study (on val, or on test after --mode=final), or a table in percent: *.csv with the header
method,dataset,f1,iou and maybe more; a column split must agree with --split. Each task on a dataset
counts as one dataset. Several runs of a method on one dataset, such as several seeds, are averaged.
Scores that others published stand below, without a rank: rows of a table with published=yes and the
columns protocol and source. The table is printed as Markdown.
"""

import argparse
import csv
import math
import pathlib
import sys
from collections.abc import Iterable
from typing import NamedTuple

from absl import logging

from noise2map_jax.buckets.address import local_path
from noise2map_jax.buckets.names import shown
from noise2map_jax.command_name import command_name
from noise2map_jax.errors import UserError
from noise2map_jax.page.number_text import UNDEFINED
from noise2map_jax.page.rank_order import order
from noise2map_jax.study.published import (
    PublishedMethod,
    not_shown,
    published_cells,
    published_methods,
    published_notes,
)
from noise2map_jax.study.result_row import ResultRow
from noise2map_jax.study.result_rows import read_results


class RankedMethod(NamedTuple):
    """A method with its means in percent.

    Attributes:
        rank: rank from 1, shared by methods with equal means; None if a dataset is missing, or a
            score is not defined.
        name: name of the method.
        f1: mean F1 over the datasets; None if a dataset is missing, NaN if a score of the method
            is not defined.
        iou: like `f1`, for IoU.
        f1_by_dataset: mean F1 over runs, by dataset; NaN if it is not defined.
        runs_by_dataset: number of these runs, by dataset.
    """

    rank: int | None
    name: str
    f1: float | None
    iou: float | None
    f1_by_dataset: dict[str, float]
    runs_by_dataset: dict[str, int]


def rank_methods(rows: list[ResultRow]) -> list[RankedMethod]:
    """Order methods by mean F1, and by mean IoU if F1 is equal to two decimals.

    Methods that lack a dataset come last, by name and without a rank: their means would be over
    other datasets. A dataset on which no score is defined, because its split holds no foreground,
    is in no mean. Methods of which another score is not defined come last, too.
    """
    datasets = {row.dataset for row in rows}
    defined = {row.dataset for row in rows if not math.isnan(row.f1)}
    complete, incomplete, undefined = [], [], []
    for name in sorted({row.method for row in rows}):
        own = {d: [r for r in rows if r.method == name and r.dataset == d] for d in datasets}
        found = {d: runs for d, runs in own.items() if runs}
        f1 = {d: _mean([r.f1 for r in runs]) for d, runs in found.items()}
        iou = {d: _mean([r.iou for r in runs]) for d, runs in found.items()}
        counts = {d: len(runs) for d, runs in found.items()}
        if not found.keys() >= (defined or datasets):
            incomplete.append(RankedMethod(None, name, None, None, f1, counts))
        elif not defined or any(math.isnan(f1[d]) for d in defined):
            undefined.append(RankedMethod(None, name, math.nan, math.nan, f1, counts))
        else:
            means = _mean([f1[d] for d in defined]), _mean([iou[d] for d in defined])
            complete.append(RankedMethod(None, name, *means, f1, counts))
    complete.sort(key=_order, reverse=True)
    orders = [_order(method) for method in complete]
    ranked = [m._replace(rank=orders.index(_order(m)) + 1) for m in complete]
    return ranked + undefined + incomplete


def _order(method: RankedMethod) -> tuple[float, float]:
    """Return F1 and IoU as they are printed, so that equal prints are ties."""
    assert method.f1 is not None
    assert method.iou is not None
    return order(method.f1, method.iou)


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)  # exact, so the order of runs does not matter


def table(methods: list[RankedMethod]) -> list[list[str]]:
    """Write the ranking as rows of cells with a header; missing numbers are empty."""
    datasets = _datasets(methods)
    header = ["rank", "method", "mean F1", "mean IoU", *(f"F1 {d}" for d in datasets)]
    return [header] + [
        [
            str(m.rank or ""),
            m.name,
            *(_percent(v) for v in (m.f1, m.iou)),
            *(_percent(m.f1_by_dataset.get(d)) for d in datasets),
        ]
        for m in methods
    ]


def _datasets(methods: list[RankedMethod]) -> list[str]:
    return sorted({d for method in methods for d in method.f1_by_dataset})


def _percent(value: float | None) -> str:
    return "" if value is None else UNDEFINED if math.isnan(value) else f"{value:.2f}"


def format_table(cells: list[list[str]]) -> str:
    """Align cells as a Markdown table; method names to the left, numbers to the right."""
    escaped = [[cell.replace("|", "\\|") or "-" for cell in row] for row in cells]
    widths = [max(map(len, column)) for column in zip(*escaped, strict=True)]
    left = escaped[0].index("method")
    rule = ["-" * w if i == left else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    aligned = [
        [
            c.ljust(w) if i == left else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        for row in escaped
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in (aligned[0], rule, *aligned[1:]))


def notes(methods: list[RankedMethod]) -> list[str]:
    """List what is not ranked and why, and means over several runs."""
    datasets, lines = _datasets(methods), []
    empty = [
        d
        for d in datasets
        if all(math.isnan(m.f1_by_dataset[d]) for m in methods if d in m.f1_by_dataset)
    ]
    for dataset in empty:
        lines.append(f"{dataset} is in no mean: F1 is not defined, as its split has no foreground")
    for method in methods:
        own = [d for d, f1 in method.f1_by_dataset.items() if math.isnan(f1) and d not in empty]
        if own:
            lines.append(f"{method.name} is not ranked: its F1 is not defined on {', '.join(own)}")
        lacking = [d for d in datasets if d not in method.f1_by_dataset and d not in empty]
        if lacking:
            lines.append(f"{method.name} is not ranked: it lacks {', '.join(lacking)}")
        several = {d: n for d, n in sorted(method.runs_by_dataset.items()) if n > 1}
        if several:
            means = ", ".join(f"{d} of {n}" for d, n in several.items())
            lines.append(f"{method.name}: mean over several runs: {means}")
    return lines


def look_like_fractions(methods: Iterable[RankedMethod | PublishedMethod]) -> list[str]:
    """List the methods whose scores may not be in percent."""
    return [
        f"{method.name}: no F1 is above 1 %; are these fractions, not percent?"
        for method in methods
        if all(0 < f1 <= 1 for f1 in method.f1_by_dataset.values())
    ]


def not_as_trained(rows: list[ResultRow]) -> list[str]:
    """List the scores whose evaluation differs from the run's training."""
    return sorted(
        {
            f"{row.method} on {row.dataset}: the evaluation differs from training in "
            f"{', '.join(row.differs)}"
            for row in rows
            if row.differs
        }
    )


def with_protocols(cells: list[list[str]], published: list[PublishedMethod]) -> list[list[str]]:
    """Add columns with the protocol and source of published scores, if there are any.

    Args:
        cells: the ranking with its header, and below it a row for each of `published`.
        published: published scores.
    """
    if not published:
        return cells
    num_ours = len(cells) - len(published)
    header, *ours = cells[:num_ours]
    return [
        [*header, "protocol", "source"],
        *([*row, "", ""] for row in ours),
        *(
            [row[0], method.name, *row[2:], method.protocol, method.source]
            for row, method in zip(cells[num_ours:], published, strict=True)
        ),
    ]


def save(cells: list[list[str]], path: pathlib.Path) -> None:
    """Write the ranking as CSV.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(cells)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; choose another --output") from error


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    command = command_name("noise2map-rank", "noise2map_jax.rank")
    parser = argparse.ArgumentParser(
        prog=command,
        description=(__doc__ or "").replace("python -m noise2map_jax.rank", command),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder or table, see above")
    parser.add_argument("--split", default="test", help="split of the scores; default: test")
    parser.add_argument("--output", default="", help="CSV file to write the ranking to")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Rank methods; a user's mistake is one line on stderr and exit code 2."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    logging.set_verbosity(logging.ERROR)
    try:
        found = read_results(arguments.runs, arguments.split)
        rows = [row for row in found if row.published is None]
        others = [row for row in found if row.published is not None]
        if not rows:
            raise UserError(
                "all scores are published ones, which have no rank; name a run or a study as well"
            )
        methods = rank_methods(rows)
        datasets = {row.dataset for row in rows}
        published = published_methods(others, datasets)
        cells = table(methods) + published_cells(published, sorted(datasets))
        if arguments.output:
            save(with_protocols(cells, published), local_path(arguments.output, "--output"))
    except UserError as error:
        print(f"error: {shown(str(error))}", file=sys.stderr)
        return 2
    lines = [*notes(methods), *look_like_fractions([*methods, *published]), *not_as_trained(rows)]
    lines += published_notes(published)
    print("\n".join([format_table(cells), *lines, *not_shown(others, datasets)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
