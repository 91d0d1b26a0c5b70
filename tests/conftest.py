"""Strict settings for all tests: eight CPU devices, no silent broadcasting between ranks."""

import pathlib

import jax
import numpy as np
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")

ROOT = pathlib.Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def golden():
    """Values written with torch and diffusers; see tests/golden/README.md."""
    folder = ROOT / "tests" / "golden"
    return {name: dict(np.load(folder / f"{name}.npz")) for name in ("schedules", "resampling")}
