"""The page of the results."""

import pathlib
from typing import Any

from benchmarks.accelerator import short_training, throughput
from benchmarks.accelerator.parts import PARTS
from benchmarks.accelerator.processes import FAILED, MEASURED
from noise2map_jax import strict_json
from noise2map_jax.page.measurements import Fact, MeasurementsPage, Section
from noise2map_jax.page.number_text import percent_with_sign, significant
from noise2map_jax.page.render import render_measurements, write_page

SMALL = {
    "thin": "This is a CPU: a thin network on small images, so that it takes minutes. No figure "
    "here says anything of accelerators.",
    "tiny": "Measured with a network of one level, which tests the benchmark and nothing else.",
}
LOADED = 0.5  # other work, in processes that wanted a core, from which on figures are too low


def write(content: dict[str, Any], path: pathlib.Path) -> None:
    """Write the page of what a record holds."""
    of, about, parts = content["circumstances"], content["machine"], content["parts"]
    curve = short_training.curve_of(parts["short_training"]["found"])
    page = MeasurementsPage(
        title=of["devices"],
        protocol=f"{about['processor']}, {about['cores']} cores; jax {of['jax']}, Python "
        f"{of['python']}, noise2map_jax {of['noise2map_jax']}; {about['date']}",
        command="python -m benchmarks accelerator",
        config=strict_json.dumps(
            {name: content[name] for name in ("circumstances", "machine")}, indent=2
        ),
        facts=_facts(content),
        sections=tuple(_section(name, parts[name]) for name in PARTS),
        notes=tuple(_notes(content)),
        curves=(curve,) if curve else (),
    )
    write_page(render_measurements(page), path)


def _section(name: str, entry: dict[str, Any]) -> Section:
    part, found = PARTS[name], entry["found"]
    return Section(name.replace("_", "-"), part.title, _missing(entry), part.show(found))


def _missing(entry: dict[str, Any]) -> str:
    """Say what is not there, and why; empty if all is."""
    if entry["state"] == MEASURED:
        return ""
    if entry["state"] == FAILED:
        return f"Failed: {entry['reason']}"
    what = "Not all measured" if entry["found"] else "Not measured"
    return f"{what}: {entry['state']}: {entry['reason']}"


def _notes(content: dict[str, Any]) -> list[str]:
    about, entries = content["machine"], content["parts"].items()
    notes = [SMALL[content["circumstances"]["size"]]] * (content["circumstances"]["size"] in SMALL)
    if about["load_average"] > LOADED:
        notes.append(
            f"Other programs were running at the start (load average {about['load_average']:.1f}): "
            "the figures are too low."
        )
    for name, entry in entries:
        if missing := _missing(entry):
            notes.append(f"{PARTS[name].title}. {missing}")
    return notes


def _facts(content: dict[str, Any]) -> tuple[Fact, ...]:
    found = {name: entry["found"] for name, entry in content["parts"].items()}
    dtype, facts = content["circumstances"]["sizes"]["dtypes"][0], []
    for row in found["peaks"].get("products", ()):
        if (row["dtype"], row["precision"]) == (dtype, "default"):
            rate = f"{significant(row['tflop_per_s'])} TFLOP/s"
            facts.append(Fact("Products", rate, dtype))
    if memory := found["peaks"].get("memory"):
        facts.append(Fact("Memory", f"{significant(memory['gb_per_s'])} GB/s", "read and written"))
    for name in ("training", "forward"):
        if row := throughput.best(found[name], dtype):
            rate = f"{significant(row['images_per_second'])} images/s"
            detail = f"{dtype}, batch {row['batch_size']}"
            facts.append(Fact(PARTS[name].title, rate, detail))
    if "times_faster" in found["passes"]:
        times = f"{significant(found['passes']['times_faster'])} times"
        facts.append(Fact("One pass", times, "as fast as DDIM"))
    if found["short_training"].get("f1") is not None:
        score = found["short_training"]
        where = "drawn scenes" if score["is_drawn"] else "imagery"
        facts.append(Fact("F1", percent_with_sign(score["f1"]), f"{where}, {score['steps']} steps"))
    return tuple(facts)
