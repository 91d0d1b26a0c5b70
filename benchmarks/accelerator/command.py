"""The command: measures what is lacking within its time, writes results and page."""

import argparse
import dataclasses
import errno
import json
import math
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from benchmarks import machine
from benchmarks.accelerator import processes
from benchmarks.accelerator.job import Found, Job
from benchmarks.accelerator.page import write
from benchmarks.accelerator.parts import PARTS, Part, measure_part
from benchmarks.accelerator.record import Record, file_name
from benchmarks.accelerator.sizes import SIZES, size_for
from noise2map_jax import __version__
from noise2map_jax.buckets.address import is_address
from noise2map_jax.cost.machine import circumstances
from noise2map_jax.data.opening import open_dataset
from noise2map_jax.devices.presence import require_devices
from noise2map_jax.errors import UserError

RESULTS = pathlib.Path(__file__).parents[1] / "results"
DRAWN = "drawn scenes"
START_SECONDS = 300.0  # for JAX to find its devices; not of the time that was asked for
# A part that is in the middle of a measurement when its time is over is given half of it again.
PATIENCE = 1.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--minutes", type=float, default=8.0, help="time for this call (default 8)")
    parser.add_argument("--data_dir", default="", help="folder that holds --dataset")
    parser.add_argument(
        "--dataset",
        default="",
        help="a dataset that data_prep wrote, for the short training, the input pipeline and "
        "studies; the only one of --data_dir if that is given; default: scenes are drawn",
    )
    parser.add_argument(
        "--size",
        choices=SIZES,
        default="",
        help="how large everything is; default: thin on a CPU, else full, the paper's network",
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure, write results and page; returns 1 if a part failed, 2 if nothing can be measured."""
    try:
        return _run(arguments)
    except UserError as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return 2


def _run(arguments: argparse.Namespace) -> int:
    if not 0 < arguments.minutes < math.inf:
        raise UserError(f"--minutes is {arguments.minutes}; expected a positive number")
    _check_output(arguments.output)
    dataset, data = _data(arguments)
    here = _describe()
    end = time.monotonic() + 60 * arguments.minutes
    name = arguments.size or size_for(here["platform"])
    sizes = json.loads(json.dumps(dataclasses.asdict(SIZES[name])))  # as the file keeps them
    of = here["circumstances"] | {"noise2map_jax": __version__, "size": name, "sizes": sizes}
    path = pathlib.Path(arguments.output or RESULTS / file_name(here["kind"]))
    record = Record(path, of, list(PARTS))
    if record.news:
        print(record.news)
    record.content.setdefault("machine", here["machine"])
    print(f"{here['machine']['device']}, size {name}, {arguments.minutes:g} minutes", flush=True)
    for part in PARTS:
        before = record.part(part).get("data", data)
        if PARTS[part].reads_data and before != data:
            print(f"{PARTS[part].title} is measured again: its data were {before}, are {data}")
            record.forget(part)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(
            size=SIZES[name],
            platform=here["platform"],
            deadline=end,
            results={},
            found={},
            folder=pathlib.Path(folder),
            dataset=dataset,
            data_dir=arguments.data_dir,
        )
        _measure(record, job, end, data)
    record.write()
    page = path.with_suffix(".html")
    write(record.content, page)
    print(f"results: {path}\npage: {page}")
    return 1 if record.failed else 0


def _check_output(output: str) -> None:
    """Raise if results could not be written."""
    path = pathlib.Path(output or RESULTS / "results.json")
    if path.suffix != ".json":
        raise UserError(f"--output={output} does not end in .json; the page lies beside it")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None


def _data(arguments: argparse.Namespace) -> tuple[str, str]:
    """Return the name of the dataset that was asked for, and what tells it from others."""
    name = arguments.dataset
    if not arguments.data_dir:
        if name:
            raise UserError(f"--dataset={name} lies in no folder; name it with --data_dir")
        return "", DRAWN
    if is_address(arguments.data_dir):
        raise UserError(
            f"--data_dir={arguments.data_dir} is an address; copy the dataset to a disk first"
        )
    if not name:
        folder = pathlib.Path(arguments.data_dir)
        found = sorted({path.parents[1].name for path in folder.glob("*/*/manifest.json")})
        if len(found) != 1:
            has = f"holds {', '.join(found)}" if found else "holds no dataset of data_prep"
            raise UserError(f"--data_dir={arguments.data_dir} {has}; choose one with --dataset")
        (name,) = found
    dataset = open_dataset(name, arguments.data_dir)
    return name, f"{name} {dataset.digest[:12]}"


def _measure(record: Record, job: Job, end: float, data: str) -> None:
    """Measure all parts that are lacking, each with its share of the time."""
    lacking = [name for name in PARTS if record.lacks(name)]
    if not lacking:
        print("all parts are measured; delete the file of results to measure them again")
    for number, name in enumerate(lacking):
        part, entry, now = PARTS[name], record.part(name), time.monotonic()
        if now >= end:
            print(_line(part, entry), flush=True)
            continue
        weights = [PARTS[other].weight for other in lacking[number:]]
        share = (end - now) * part.weight / sum(weights)
        results = {other: record.part(other)["found"] for other in PARTS}
        own = dataclasses.replace(job, deadline=now + share, results=results, found=entry["found"])
        stop = min(end, now + PATIENCE * share)
        ending = processes.call(measure_part, (name, own), stop, _keeping(record, entry))
        entry["state"], entry["reason"] = ending.state, ending.reason
        entry["seconds"] += time.monotonic() - now
        if part.reads_data:
            entry["data"] = data
        record.write()
        if ending.trace:
            print(ending.trace, file=sys.stderr)
        print(_line(part, entry), flush=True)


def _keeping(record: Record, entry: dict[str, Any]) -> Callable[[Found], None]:
    """Return what writes the results of a part as soon as they are there."""

    def keep(found: Found) -> None:
        entry["found"] = found
        record.write()

    return keep


def _line(part: Part, entry: dict[str, Any]) -> str:
    reason = f": {entry['reason']}" if entry["reason"] else ""
    return f"{part.title:16} {entry['state']}{reason} ({entry['seconds']:.0f} s)"


def _describe() -> dict[str, Any]:
    """Describe machine and versions: by another process, for this one must not take the device."""
    found: list[dict[str, Any]] = []
    ending = processes.call(describe, None, time.monotonic() + START_SECONDS, found.append)
    if ending.state == processes.NO_TIME and not found:
        raise SystemExit(f"JAX did not find its devices within {START_SECONDS:.0f} seconds")
    if not found:
        raise SystemExit(f"JAX finds no device: {ending.reason}\n{ending.trace}".strip())
    if "mistake" in found[0]:
        raise UserError(found[0]["mistake"])
    return found[0]


def describe(_: None, send: Callable[[dict[str, Any]], None]) -> None:
    """Send what is to be known of this machine."""
    try:
        device = require_devices()[0]
    except UserError as error:
        send({"mistake": str(error)})
        return
    about = machine.describe()
    versions = {name: about["versions"].get(name, "none") for name in ("torch", "diffusers")}
    send(
        {
            "platform": device.platform,
            "kind": device.device_kind,
            "machine": about,
            "circumstances": circumstances() | versions,
        }
    )
