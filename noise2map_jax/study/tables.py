"""The scores of a study as tables: CSV for programs, Markdown and LaTeX for papers."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from noise2map_jax.page.content import Sample
from noise2map_jax.page.rank_order import ranks
from noise2map_jax.study.comparison import Comparison, Difference
from noise2map_jax.study.intervals import Interval

# The columns that `rank` reads come first; scores are in percent.
COLUMNS = (
    *("method", "dataset", "f1", "iou", "split", "f1_std", "f1_low", "f1_high", "iou_std", "seeds"),
    *("difference", "difference_low", "difference_high", "p", "comparisons", "detectable"),
    *("effect_size", "pairs", "verdict", "tiles", "scenes", "places", "places_known", "protocol"),
    *("records", "timesteps", "draws", "rank"),
)


class Predicted(NamedTuple):
    """How the networks of a variant predict.

    Attributes:
        timesteps: timesteps of prediction.
        draws: number of Gaussian noise draws that predictions average; 0 = no such noise.
    """

    timesteps: Sequence[int]
    draws: int


def to_csv(
    comparison: Comparison,
    sample: Sample,
    dataset: str,
    protocol: str,
    records: str,
    predicted: Mapping[str, Predicted],
) -> str:
    """Write all numbers in percent, one row a variant; unknown ones are empty.

    F1 and IoU that are not defined, because no foreground is labelled, are n/a.

    The intervals of differences hold together for all `comparisons`; each interval of F1 holds
    alone.

    Args:
        comparison: the statistics.
        sample: tiles, scenes and places of the split.
        dataset: task and dataset.
        protocol: one line about the data and classes scored.
        records: digest of the dataset.
        predicted: how each variant predicts, by its name.
    """
    differences = {difference.name: difference for difference in comparison.differences}
    rank_of = _ranks(comparison)
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for variant in comparison.variants:
        low, high = _limits(variant.interval)
        row: dict[str, object] = {
            "method": variant.name,
            "dataset": dataset,
            # `rank` reads n/a as not defined, and takes an empty cell for a mistake.
            "f1": _percent(variant.f1) or "n/a",
            "iou": _percent(variant.iou) or "n/a",
            "split": sample.split,
            "f1_std": _percent(variant.f1_std),
            "f1_low": low,
            "f1_high": high,
            "iou_std": _percent(variant.iou_std),
            "seeds": " ".join(map(str, variant.seeds)),
            "tiles": sample.num_tiles,
            "scenes": sample.num_scenes,
            "places": sample.num_places if sample.places_known else "",
            "places_known": "yes" if sample.places_known else "no",
            "protocol": protocol,
            "records": records,
            "timesteps": " ".join(map(str, predicted[variant.name].timesteps)),
            "draws": predicted[variant.name].draws,
            "rank": rank_of[variant.name] or "",
        }
        if difference := differences.get(variant.name):
            low, high = _limits(difference.interval)
            row |= {
                "difference": _percent(difference.f1),
                "difference_low": low,
                "difference_high": high,
                "p": _number(difference.p),
                "comparisons": difference.num_compared,
                "detectable": _percent(difference.detectable),
                "effect_size": _number(difference.effect.size),
                "pairs": difference.effect.num_pairs,
                "verdict": difference.verdict,
            }
        if variant.seeds:  # a variant whose seeds all failed has no score to rank
            writer.writerow(row)
    return file.getvalue()


def to_markdown(comparison: Comparison, sample: Sample) -> str:
    """Write the scores as a Markdown table, the best first, under a line about the data."""
    rows = _rows(comparison)
    lines = [
        _capitalized(sample.text),
        "",
        "| " + " | ".join(rows[0]) + " |",
        "|" + "---|" * len(rows[0]),
    ]
    lines += [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows[1:]
    ]
    return "\n".join(lines) + "\n"


def to_latex(comparison: Comparison, sample: Sample) -> str:
    """Write the scores as a LaTeX table for `booktabs`, the best first."""
    header, *rows = [[_escape(cell) for cell in row] for row in _rows(comparison)]
    body = [" & ".join(row) + r" \\" for row in rows]
    return "\n".join(
        [
            f"% {_capitalized(sample.text)}",
            r"\begin{tabular}{rl" + "r" * (len(header) - 2) + "}",
            r"\toprule",
            " & ".join(header) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _rows(comparison: Comparison) -> list[list[str]]:
    """Return header and rows as text, the best variant first."""
    differences = {difference.name: difference for difference in comparison.differences}
    together = f", {comparison.num_compared} together" if comparison.num_compared > 1 else ""
    rows = [
        [
            *("rank", "variant", "seeds", "F1 [%]", "95 % interval", "IoU [%]"),
            *(f"difference to {comparison.reference}", f"95 % interval{together}", "p, adjusted"),
            "seen in 4 of 5",
        ]
    ]
    rank_of = _ranks(comparison)
    scored = sorted(
        comparison.variants,
        # Last come those without a score: first not defined, then failed.
        key=lambda v: (not v.seeds, rank_of[v.name] or len(rank_of) + 1),
    )
    for variant in scored:
        difference = differences.get(variant.name)
        rows.append(
            [
                str(rank_of[variant.name] or ""),
                variant.name,
                str(len(variant.seeds)),
                _with_deviation(variant.f1, variant.f1_std) if variant.seeds else "failed",
                _interval(variant.interval, variant.refusal),
                _with_deviation(variant.iou, variant.iou_std) if variant.seeds else "failed",
                *_difference(difference),
            ]
        )
    return rows


def _ranks(comparison: Comparison) -> dict[str, int | None]:
    """Rank variants by F1, ties by IoU; without a score there is no rank."""
    variants = comparison.variants
    found = ranks([(100 * variant.f1, 100 * variant.iou) for variant in variants])
    return {variant.name: rank for variant, rank in zip(variants, found, strict=True)}


def _difference(difference: Difference | None) -> list[str]:
    if difference is None or not difference.seeds:
        return ["", "", "", ""]
    points = f"{100 * difference.f1:+.2f}" if math.isfinite(difference.f1) else "n/a"
    cells = [points, _interval(difference.interval, difference.refusal)]
    if difference.interval is None:
        return [*cells, "", ""]
    p = "< 0.001" if difference.p < 0.001 else f"{difference.p:.3f}"
    seen = f"{100 * difference.detectable:.1f}" if difference.detectable <= 1 else "none"
    return [*cells, p, seen]


def _with_deviation(mean: float, deviation: float) -> str:
    if not math.isfinite(mean):
        return "n/a"
    return f"{100 * mean:.2f}" + (f" ± {100 * deviation:.2f}" if math.isfinite(deviation) else "")


def _interval(interval: Interval | None, refusal: str) -> str:
    """Write an interval in percent, or why there is none."""
    return (
        f"n/a: {refusal}" if interval is None else " to ".join(f"{100 * v:.2f}" for v in interval)
    )


def _limits(interval: Interval | None) -> tuple[str, str]:
    return (_percent(interval.low), _percent(interval.high)) if interval else ("", "")


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _percent(fraction: float) -> str:
    return _number(100 * fraction)


def _number(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""


def _escape(text: str) -> str:
    """Escape text for LaTeX."""
    special = {"±": r"$\pm$", "<": r"$<$", "\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
    special |= {"^": r"\textasciicircum{}"} | {c: f"\\{c}" for c in "&%$#_{}"}
    return "".join(special.get(character, character) for character in text)
