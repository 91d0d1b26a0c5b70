"""How fast the input pipeline reads, beside what training takes."""

from benchmarks import input_pipeline
from benchmarks.accelerator.datasets import dataset_of
from benchmarks.accelerator.job import Found, Job
from noise2map_jax.cost.machine import cores
from noise2map_jax.page.measurements import Column, Shown, Table

MOST_THREADS = 16


def measure(job: Job) -> None:
    """Measure with 1, 2, 4, ... threads, up to one a core."""
    dataset, size = dataset_of(job), job.size
    job.found["dataset"] = dataset.describe("train")
    rows = job.found.setdefault("rows", [])
    threads = 2 ** len(rows)
    while threads <= min(max(2, cores()), MOST_THREADS):
        job.need(0, f"{threads} threads")
        batches = size.train_batch, size.num_batches
        rows.append(input_pipeline.measure(dataset, *batches, threads, size.repeats))
        job.save()
        threads *= 2


def show(found: Found) -> Shown:
    """Show what was found."""
    columns = (
        Column("Threads", numeric=False),
        Column("Records/s"),
        Column("Records/s", "a core that is busy"),
    )
    rows = tuple(
        (str(row["num_threads"]), row["records_per_second"], row["records_per_core_second"])
        for row in found.get("rows", ())
    )
    data = f" Data: {found['dataset']}." if "dataset" in found else ""
    note = (
        "Records read from shards and decoded to batches, without a device. Training needs as many "
        "a second as it has images/s."
    )
    return Shown(note + data, (Table("", columns, rows),))
