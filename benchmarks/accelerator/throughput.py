"""How many images a second the network maps and is trained on, by the size of the batch."""

from collections.abc import Callable
from typing import Any

import jax

from benchmarks import machine, network_jax
from benchmarks.accelerator.job import Found, Job
from benchmarks.accelerator.reference import flop_per_image
from noise2map_jax.page.measurements import Column, LinePlot, Shown, Table

WORDS = {"forward": "The forward pass", "train": "The training step with its optimiser"}
MEMORY_ERRORS = ("RESOURCE_EXHAUSTED", "out of memory")


def measuring(kind: str) -> Callable[[Job], None]:
    """Return what measures a kind of call, `forward` or `train`, over batch sizes and types."""

    def measure(job: Job) -> None:
        found = job.found
        if "flop_per_image" not in found:
            found["flop_per_image"] = flop_per_image(job.case(1), kind)
            job.save()
        for dtype in job.size.dtypes:
            _double(job, kind, dtype)

    return measure


def is_out_of_memory(error: str) -> bool:
    """Whether the message of an error says that a batch does not fit."""
    return any(said.lower() in error.lower() for said in MEMORY_ERRORS)


def _double(job: Job, kind: str, dtype: str) -> None:
    """Double the batch until it does not fit; begin where an earlier call ended."""
    rows, ends = job.found.setdefault("rows", []), job.found.setdefault("ends", {})
    done = [row for row in rows if row["dtype"] == dtype]
    batch_size = 2 * done[-1]["batch_size"] if done else job.size.first_batch
    took = _next_takes(done[-1]) if done else 0.0
    while dtype not in ends:
        job.need(took, f"{dtype} from {batch_size} images on")
        side = network_jax.measure(job.case(batch_size, dtype), kind)
        if "error" in side:
            if not is_out_of_memory(side["error"]):
                raise RuntimeError(f"{batch_size} images in {dtype}: {side['error']}")
            ends[dtype] = f"{batch_size} images do not fit"
        else:
            row = {"dtype": dtype, "batch_size": batch_size} | side
            flop = batch_size * job.found["flop_per_image"]
            seconds = side["seconds"]["median"]
            row |= machine.rates(batch_size, seconds, flop, job.matmul_peak(dtype))
            rows.append(row)
            took = _next_takes(row)
            batch_size *= 2
            if batch_size > job.size.most_batch:
                ends[dtype] = f"{job.size.most_batch} images are the most that are tried here"
        jax.clear_caches()  # what is compiled for a batch holds memory
        job.save()


def _next_takes(row: Found) -> float:
    """Estimate how long a batch twice as large takes: compiling, a call to warm up, the others."""
    calls = row["seconds"]["repeats"] + 1
    return row["compile_seconds"] + 2 * calls * row["seconds"]["median"]


def best(found: Found, dtype: str) -> Found | None:
    """Return the row of the most images a second in a type; None if there is none."""
    rows = [row for row in found.get("rows", ()) if row["dtype"] == dtype]
    return max(rows, key=lambda row: row["images_per_second"], default=None)


def showing(kind: str) -> Callable[[Found], Shown]:
    """Return what shows a kind of call."""

    def show(found: Found) -> Shown:
        rows = found.get("rows", ())
        lines: dict[str, Any] = {}
        for row in rows:
            point = row["batch_size"], row["images_per_second"]
            lines.setdefault(f"JAX, {row['dtype']}", []).append(point)
        drawn = {name: points for name, points in lines.items() if len(points) > 1}
        plots = (LinePlot("images of a batch", "images/s", drawn),)
        return Shown(_note(kind, found), (Table("", COLUMNS, tuple(map(_cells, rows))),), plots)

    return show


COLUMNS = (
    Column("Computed in", numeric=False),
    Column("Batch", "images"),
    Column("Images/s"),
    Column("Seconds", "a call, median"),
    Column("TFLOP/s"),
    Column("Share of peak", "%, of products"),
    Column("Memory", "GiB, of the call"),
    Column("Compiling", "s"),
)


def _cells(row: Found) -> tuple[Any, ...]:
    share = row.get("share_of_matmul_peak")
    return (
        row["dtype"],
        row["batch_size"],
        row["images_per_second"],
        row["seconds"]["median"],
        row["tflop_per_s"],
        None if share is None else 100 * share,
        row["needed_memory_gib"],
        row["compile_seconds"],
    )


def _note(kind: str, found: Found) -> str:
    if "flop_per_image" not in found:
        return ""
    ends = "; ".join(f"{dtype}: {end}" for dtype, end in found.get("ends", {}).items())
    return (
        f"{WORDS[kind]}, on one device, {found['flop_per_image'] / 1e9:,.4g} GFLOP an image "
        "(counted before compiling, a multiply-add as 2), without reading data."
        + (f" {ends}." if ends else "")
    )
