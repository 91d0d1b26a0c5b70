"""Strict settings for all tests: eight CPU devices, no silent broadcasting between ranks."""

import gc
import os
import sys

import programs

os.environ["JAX_PLATFORMS"] = "cpu"  # libtpu, where it is installed, would look for a TPU
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {programs.COMPILE_FAST}"  # before JAX

import hypothesis
import jax
import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags

from noise2map_jax import command_line

gc.set_threshold(50_000, 20, 100)  # tracing makes many objects that stay
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
# How long an example takes says something of the machine alone.
hypothesis.settings.register_profile("no_timings", deadline=None)
hypothesis.settings.load_profile("no_timings")

# Files that take minutes, the longest first: begun last, one of them would leave the other core
# idle. The order is kept by --no-loadscope-reorder.
SLOWEST_FIRST = (
    *("programs/rival_studies", "programs/ablate", "programs/quickstart", "programs/train"),
    *("programs/configs", "programs/resume", "programs/processes", "programs/moving"),
    *("programs/multitask", "programs/paper_configs", "programs/fine_tuning", "programs/predict"),
    *("programs/main", "weights/initialization", "devices/execution", "programs/buckets"),
    *("steps/train_step", "programs/denoise", "programs/many_bands", "training/trainer"),
    *("programs/compilation", "benchmarks/accelerator/whole"),
)


def pytest_collection_modifyitems(items):
    """Put the slowest files first."""
    order = {}
    for number, name in enumerate(SLOWEST_FIRST):
        path = (programs.ROOT / "tests" / name).with_name(f"test_{name.split('/')[-1]}.py")
        assert path.exists(), path
        order[path] = number
    items.sort(key=lambda item: order.get(item.path, len(order)))


@pytest.fixture
def highest_precision():
    """Accelerators multiply float32 as float32: for comparing with other programs by digits."""
    with jax.default_matmul_precision("highest"):
        yield


@pytest.fixture(params=[-1.0, pytest.param(0.0, marks=pytest.mark.long)])
def effort(request):
    """Compiling for TPUs takes a tenth of the time with little effort; users compile with 0."""
    if not hasattr(jax.config, programs.EFFORT):
        yield 0.0
        return
    before = getattr(jax.config, programs.EFFORT)
    jax.config.update(programs.EFFORT, request.param)
    yield request.param
    jax.config.update(programs.EFFORT, before)


@pytest.fixture(scope="session")
def golden():
    """Values written with torch and diffusers; see tests/golden/README.md."""
    folder = programs.ROOT / "tests" / "golden"
    return {name: dict(np.load(folder / f"{name}.npz")) for name in ("schedules", "resampling")}


@pytest.fixture(scope="session")
def thin_data(tmp_path_factory):
    """A folder with two small datasets, `thin_ss` and `thin_cd`; 11 tiles are evaluated."""
    folder = tmp_path_factory.mktemp("data")
    for task in ("ss", "cd"):
        programs.data_prep(
            "synthetic",
            f"--task={task}",
            f"--name=thin_{task}",
            f"--data_dir={folder}",
            "--num_scenes=24,11,11",
            "--scene_size=32",
            "--tile_size=32",
            "--num_workers=1",
        )
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Where programs under test keep what they compiled; one place for all workers."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def parse(monkeypatch):
    """Parse arguments as a program does that has these three flags; returns them."""

    def call(*arguments):
        values = flags.FlagValues()
        monkeypatch.setattr(flags, "FLAGS", values)
        monkeypatch.setattr(config_flags.config_flags, "FLAGS", values)
        monkeypatch.setattr(sys, "argv", ["program", *arguments])
        monkeypatch.setattr(sys, "path", [*sys.path])  # a config's folder is added to it
        config_flags.DEFINE_config_file("config", flag_values=values)
        flags.DEFINE_string("workdir", "", "", flag_values=values)
        flags.DEFINE_string("mode", "train", "", flag_values=values)
        assert command_line.parse(sys.argv) == ["program"]
        return values

    return call


@pytest.fixture
def program(thin_data, cache, tmp_path):
    """Run the main program on the thin config: `program(*options, num_devices=1, expect=0)`."""

    def call(*options, num_devices=1, expect=0, workdir=tmp_path / "run", packages=()):
        return programs.run(
            (
                "--config=tests/helpers/thin_config.py",
                f"--workdir={workdir}",
                f"--config.data.data_dir={thin_data}",
                *options,
            ),
            programs.environment(cache, num_devices, packages),
            expect,
        )

    return call
