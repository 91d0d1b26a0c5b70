"""What the networks of a study cost as tables: CSV for programs, Markdown for people."""

import csv
import io

from noise2map_jax.page.network_costs import NetworkCosts, Rate
from noise2map_jax.page.number_text import significant, whole

HEADER = (
    *("variant", "parameters", "GFLOP/image", "training [images/s]", "prediction [images/s]"),
    "memory [GiB]",
)


def costs_to_csv(costs: NetworkCosts) -> str:
    """Write all numbers, one row a variant."""
    rows = [
        {
            "variant": cost.variant,
            "parameters": cost.parameters,
            "forward_gflop": f"{cost.flops / 1e9:.6g}",
            "image_size": cost.image_size,
            **_rate("train_images_per_second", cost.training),
            "train_batch": cost.train_batch,
            "train_size": cost.train_size,
            **_rate("predict_images_per_second", cost.prediction),
            "predict_batch": cost.predict_batch,
            "passes": cost.passes,
            "train_memory_bytes": cost.train_memory,
            "repeats": costs.repeats,
            "machine": costs.machine,
        }
        for cost in costs.rows
    ]
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def costs_to_markdown(costs: NetworkCosts) -> str:
    """Write a Markdown table under a paragraph that says what the numbers are."""
    rows = [
        (
            cost.variant.replace("|", "\\|"),
            whole(cost.parameters),
            significant(cost.flops / 1e9),
            _spread(cost.training),
            _spread(cost.prediction),
            significant(cost.train_memory / 2**30),
        )
        for cost in costs.rows
    ]
    lines = [costs.note, "", _line(HEADER), "|---" + "|---:" * (len(HEADER) - 1) + "|"]
    return "\n".join([*lines, *map(_line, rows)]) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _spread(rate: Rate) -> str:
    return f"{significant(rate.median)} ({significant(rate.least)} to {significant(rate.most)})"


def _rate(name: str, rate: Rate) -> dict[str, str]:
    return {
        name: f"{rate.median:.6g}",
        f"{name}_least": f"{rate.least:.6g}",
        f"{name}_most": f"{rate.most:.6g}",
    }
