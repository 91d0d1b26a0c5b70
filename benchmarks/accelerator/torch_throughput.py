"""The same network in PyTorch, in all its modes, at the batch sizes of JAX."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import machine
from benchmarks.accelerator.job import Found, Job, NotPossible
from benchmarks.accelerator.throughput import best, is_out_of_memory
from noise2map_jax.page.measurements import Column, LinePlot, Shown, Table

PARTS = {"train": "training", "forward": "forward"}  # parts of JAX by the kind of call
NAMES = {"train": "training step", "forward": "forward pass"}
NOTE = (
    "PyTorch with diffusers' backbone, the same loss and Adam, at JAX's best batch size first. "
    "Bfloat16 is done by autocast; compile has channels last, too. The last column is how many "
    "times as fast JAX is; where it was not measured at that batch size, there is none."
)


def measure(job: Job) -> None:
    """Measure what is still lacking."""
    device = _device(job.platform)
    try:
        from benchmarks import network_torch, torch_networks
    except ImportError as error:
        what = str(error).splitlines()[0]
        raise NotPossible(f"{what}; pip install -e .[parity]") from None
    if job.size.network not in torch_networks.NETWORKS:
        raise NotPossible(f"PyTorch's packages lack the network {job.size.network}")
    if device == "cuda" and network_torch.default_device() != device:
        raise NotPossible("this PyTorch sees no GPU: it was built without, or for other drivers")
    rows = job.found.setdefault("rows", [])
    done = {tuple(row[name] for name in KEYS) for row in rows}
    for key in _wanted(job):
        if key in done:
            continue
        kind, dtype, batch_size, mode = key
        job.need(0, f"{NAMES[kind]} of {batch_size} images in {dtype}, {mode}, and what follows")
        side = network_torch.measure(job.case(batch_size, dtype), kind, mode, device)
        row: Found = dict(zip(KEYS, key, strict=True)) | side
        if "seconds" in side:
            jax_side = job.results.get(PARTS[kind], {})
            flop = batch_size * jax_side.get("flop_per_image", 0)
            seconds = side["seconds"]["median"]
            row |= machine.rates(batch_size, seconds, flop, job.matmul_peak(dtype))
            row |= _against(row, jax_side)
        rows.append(row)
        job.save()


KEYS = ("kind", "dtype", "batch_size", "mode")


def _device(platform: str) -> str:
    devices = {"cpu": "cpu", "gpu": "cuda"}
    if platform not in devices:
        raise NotPossible(f"PyTorch has no device of the platform {platform}")
    return devices[platform]


def _wanted(job: Job) -> Iterator[tuple[Any, ...]]:
    """All measurements: those at JAX's best batch size first."""
    cases: list[tuple[str, str, list[int]]] = []
    for dtype, kind in itertools.product(job.size.dtypes, PARTS):
        found = job.results.get(PARTS[kind], {})
        row = best(found, dtype)
        first = row["batch_size"] if row else job.size.first_batch
        sizes = [r["batch_size"] for r in found.get("rows", ()) if r["dtype"] == dtype]
        cases.append((kind, dtype, [first, *sorted(set(sizes) - {first}, reverse=True)]))
    for rank in range(max(len(sizes) for _, _, sizes in cases)):
        for mode in job.size.torch_modes:  # the last ones compile for long
            for kind, dtype, sizes in cases:
                if rank < len(sizes):
                    yield kind, dtype, sizes[rank], mode


def _against(row: Found, jax_side: Found) -> dict[str, float]:
    for other in jax_side.get("rows", ()):
        if all(other[name] == row[name] for name in ("dtype", "batch_size")):
            ratio = other["images_per_second"] / row["images_per_second"]
            return {"torch_time_over_jax_time": ratio}
    return {}


def show(found: Found) -> Shown:
    """Show what was found."""
    columns = (
        Column("Call", numeric=False),
        Column("Computed in", numeric=False),
        Column("Mode", numeric=False),
        Column("Batch", "images"),
        Column("Images/s", "PyTorch"),
        Column("TFLOP/s"),
        Column("Share of peak", "%, of products"),
        Column("JAX", "times as fast"),
    )
    rows = found.get("rows", ())
    table = Table("", columns, tuple(map(_cells, rows)))
    return Shown(NOTE, (table,), tuple(_plot(rows, kind) for kind in PARTS))


def _plot(rows: Sequence[Found], kind: str) -> LinePlot:
    """Draw all modes, and JAX where both were measured; lines of one point are left out."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in sorted(rows, key=lambda row: row["batch_size"]):
        if row["kind"] == kind and "seconds" in row:
            rate = row["images_per_second"]
            point = row["batch_size"], rate
            lines.setdefault(f"PyTorch {row['mode']}, {row['dtype']}", []).append(point)
            if "torch_time_over_jax_time" in row:
                own = lines.setdefault(f"JAX, {row['dtype']}", [])
                if row["batch_size"] not in dict(own):
                    own.append((row["batch_size"], rate * row["torch_time_over_jax_time"]))
    drawn = {name: points for name, points in lines.items() if len(points) > 1}
    return LinePlot("images of a batch", f"images/s, {NAMES[kind]}", drawn)


def _cells(row: Found) -> tuple[Any, ...]:
    named = NAMES[row["kind"]], row["dtype"], row["mode"], row["batch_size"]
    if "error" in row:
        said = "does not fit" if is_out_of_memory(row["error"]) else row["error"]
        return (*named, said[:60], None, None, None)
    share = row.get("share_of_matmul_peak")
    percent = None if share is None else 100 * share
    rates = row["images_per_second"], row.get("tflop_per_s"), percent
    return (*named, *rates, row.get("torch_time_over_jax_time"))
