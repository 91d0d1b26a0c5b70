"""The scores of a study as tables: CSV for programs, Markdown and LaTeX for papers."""

import csv
import io
import math

from noise2map_jax.comparison import Comparison, Difference

# Those of `rank` come first; scores are in percent.
COLUMNS = (
    *("method", "dataset", "f1", "iou", "f1_std", "f1_low", "f1_high", "iou_std", "seeds"),
    *("difference", "difference_low", "difference_high", "p_wilcoxon", "p_holm", "effect_size"),
    *("pairs", "verdict", "protocol"),
)


def to_csv(comparison: Comparison, dataset: str, protocol: str) -> str:
    """Write all numbers, a row a variant, in percent; unknown ones are empty."""
    differences = {difference.name: difference for difference in comparison.differences}
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for variant in comparison.variants:
        row: dict[str, object] = {
            "method": variant.name,
            "dataset": dataset,
            "protocol": protocol,
            "f1": _percent(variant.f1),
            "iou": _percent(variant.iou),
            "f1_std": _percent(variant.f1_std),
            "f1_low": _percent(variant.interval.low),
            "f1_high": _percent(variant.interval.high),
            "iou_std": _percent(variant.iou_std),
            "seeds": " ".join(map(str, variant.seeds)),
        }
        if difference := differences.get(variant.name):
            row |= {
                "difference": _percent(difference.f1),
                "difference_low": _percent(difference.interval.low),
                "difference_high": _percent(difference.interval.high),
                "p_wilcoxon": _number(difference.test.p),
                "p_holm": _number(difference.p_holm),
                "effect_size": _number(difference.test.effect),
                "pairs": difference.test.num_pairs,
                "verdict": difference.verdict,
            }
        if variant.seeds:  # a variant whose seeds all failed has no score to be ranked by
            writer.writerow(row)
    return file.getvalue()


def to_markdown(comparison: Comparison) -> str:
    """Write the scores as a table in Markdown, the best first."""
    rows = _rows(comparison)
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    lines += [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows[1:]
    ]
    return "\n".join(lines) + "\n"


def to_latex(comparison: Comparison) -> str:
    """Write the scores as a LaTeX table for `booktabs`, the best first."""
    header, *rows = [[_escape(cell) for cell in row] for row in _rows(comparison)]
    body = [" & ".join(row) + r" \\" for row in rows]
    return "\n".join(
        [
            r"\begin{tabular}{l" + "r" * (len(header) - 1) + "}",
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
    """Header and rows as text, the best variant first."""
    differences = {difference.name: difference for difference in comparison.differences}
    rows = [
        [
            *("variant", "seeds", "F1 [%]", "95 % interval", "IoU [%]"),
            *(f"difference to {comparison.reference}", "95 % interval", "p (Holm)"),
        ]
    ]
    scored = sorted(comparison.variants, key=lambda v: -v.f1 if math.isfinite(v.f1) else math.inf)
    for variant in scored:
        difference = differences.get(variant.name)
        rows.append(
            [
                variant.name,
                str(len(variant.seeds)),
                _with_deviation(variant.f1, variant.f1_std),
                _interval(variant.interval.low, variant.interval.high),
                _with_deviation(variant.iou, variant.iou_std),
                *_difference(difference),
            ]
        )
    return rows


def _difference(difference: Difference | None) -> list[str]:
    if difference is None or not difference.seeds:
        return ["", "", ""]
    p = "< 0.001" if difference.p_holm < 0.001 else f"{difference.p_holm:.3f}"
    interval = _interval(difference.interval.low, difference.interval.high)
    return [f"{100 * difference.f1:+.2f}", interval, p]


def _with_deviation(mean: float, deviation: float) -> str:
    if not math.isfinite(mean):
        return "failed"
    return f"{100 * mean:.2f}" + (f" ± {100 * deviation:.2f}" if math.isfinite(deviation) else "")


def _interval(low: float, high: float) -> str:
    return f"{100 * low:.2f} to {100 * high:.2f}" if math.isfinite(low + high) else ""


def _percent(fraction: float) -> str:
    return _number(100 * fraction)


def _number(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""


def _escape(text: str) -> str:
    """Write text for LaTeX."""
    special = {"±": r"$\pm$", "<": r"$<$", "\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
    special |= {"^": r"\textasciicircum{}"} | {c: f"\\{c}" for c in "&%$#_{}"}
    return "".join(special.get(character, character) for character in text)
