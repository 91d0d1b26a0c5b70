"""Jobs of the benchmark `accelerator` that never run."""

import dataclasses
import time

from benchmarks.accelerator.job import Job
from benchmarks.accelerator.sizes import SIZES

TINY = SIZES["tiny"]


def make_job(tmp_path, size=TINY, platform="cpu", seconds=1e6, results=None, found=None):
    results, found = results or {}, found or {}
    return Job(size, platform, time.monotonic() + seconds, results, found, tmp_path)


def larger(**fields):
    return dataclasses.replace(TINY, **({"most_batch": 4096} | fields))
