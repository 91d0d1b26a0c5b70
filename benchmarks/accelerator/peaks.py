"""What the device can do at best: products of matrices by type, and its memory."""

import jax
import jax.numpy as jnp

from benchmarks.accelerator.job import Found, Job
from noise2map_jax.cost.accelerators import accelerator_of
from noise2map_jax.cost.matmul_peak import matmul_peak
from noise2map_jax.cost.memory_bandwidth import memory_bandwidth
from noise2map_jax.page.measurements import Cell, Column, Shown, Table

KINDS = (("bfloat16", "default"), ("float32", "default"), ("float32", "highest"))

NOTE = (
    "One device. Products of square matrices; highest = float32 multiplied without leaving digits "
    "out. Memory: a number is added to an array in place, so each byte counts twice. Shares of "
    "the peak on this page are of these products, of the same type."
)


def measure(job: Job) -> None:
    """Measure what is still lacking."""
    limits = accelerator_of(jax.devices()[0])
    rows = job.found.setdefault("products", [])
    for dtype, precision in KINDS[len(rows) :]:
        job.need(0, f"products of {dtype}, {precision}")
        with jax.default_matmul_precision(precision):
            peak = matmul_peak(
                jnp.dtype(dtype), repeats=job.size.repeats, side=job.size.product_side
            )
        stated = limits.multiplying(dtype, precision).flops if limits else None
        rows.append({"dtype": dtype, "precision": precision} | _against(peak, stated, "tflop", 12))
        job.save()
    job.need(0, "memory bandwidth")
    bandwidth = memory_bandwidth(repeats=job.size.repeats, size=job.size.copied_bytes)
    job.found["memory"] = _against(bandwidth, limits.bandwidth if limits else None, "gb", 9)
    job.save()


def _against(measured: float, stated: float | None, unit: str, exponent: int) -> dict[str, float]:
    """Return a rate, and beside it what the data sheet says where that is known."""
    found = {f"{unit}_per_s": measured / 10**exponent}
    if stated:
        found[f"stated_{unit}_per_s"] = stated / 10**exponent
        found["share_of_stated"] = measured / stated
    return found


def show(found: Found) -> Shown:
    """Show what was found."""
    products = [
        (f"products of {row['dtype']}, {row['precision']}", *_cells(row, "tflop", "TFLOP/s"))
        for row in found.get("products", ())
    ]
    memory = [("memory, read and written", *_cells(found["memory"], "gb", "GB/s"))] * (
        "memory" in found
    )
    columns = (
        Column("What", numeric=False),
        Column("Measured"),
        Column("Data sheet"),
        Column("Share", "%"),
        Column("Unit", numeric=False),
    )
    return Shown(NOTE, (Table("", columns, tuple(products + memory)),))


def _cells(row: Found, unit: str, name: str) -> tuple[Cell, ...]:
    share = row.get("share_of_stated")
    percent = None if share is None else 100 * share
    return row[f"{unit}_per_s"], row.get(f"stated_{unit}_per_s"), percent, name
