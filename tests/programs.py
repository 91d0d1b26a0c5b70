"""Running whole programs by their command line."""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


# Programs here run for seconds: compiling them quickly counts for more than what comes out.
COMPILE_FAST = "--xla_backend_optimization_level=0"


def environment(cache, num_devices=1):
    """What programs under test run in; compiled steps are shared between them."""
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={num_devices} {COMPILE_FAST}",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }


def command(*arguments):
    return [sys.executable, "-m", "noise2map_jax.main", *arguments]


def run(arguments, env, expect=0):
    """Run the main program to its end, and return what it printed."""
    done = subprocess.run(
        command(*arguments), cwd=ROOT, env=env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == expect, f"exit code {done.returncode}\n{done.stderr[-3000:]}"
    return done


def data_prep(*arguments):
    subprocess.run(
        [sys.executable, "-m", "data_prep", *arguments], cwd=ROOT, check=True, capture_output=True
    )


def metrics(workdir, name="train/loss"):
    """Values of a metric by step."""
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line[name] for line in lines if name in line}
