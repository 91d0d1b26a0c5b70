"""The wheel: what it holds, and that it does everything in a folder without a checkout."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import programs
import pytest
import rasterio
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning

from data_prep.drawing.scenes import segmentation_scene

PACKAGES = ("noise2map_jax", "data_prep")
NO_PARTS = ("tests", "benchmarks")  # of the wheel, though they lie beside its packages
THIN = (
    "--config.model.unet.block_out_channels=8,",
    "--config.model.unet.layers_per_block=1",
    "--config.model.unet.attention_levels=()",
    "--config.model.unet.norm_num_groups=4",
    "--config.model.sample_size=32",
    "--config.data.tile_size=32",
    "--config.data.dataset=thin",
    "--config.train.batch_size=2",
    "--config.train.num_microbatches=1",
    "--config.train.num_steps=2",
    "--config.train.write_report=False",
    "--config.eval.batch_size=2",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy: a build leaves files behind, and takes those of an earlier one."""
    source, output = (tmp_path_factory.mktemp(name) for name in ("source", "wheel"))
    unused = shutil.ignore_patterns("__pycache__", "golden", "results", "*.egg-info")
    for name in (*PACKAGES, *NO_PARTS, "configs"):
        shutil.copytree(programs.ROOT / name, source / name, ignore=unused)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(programs.ROOT / name, source / name)
    options = ("--no-deps", "--no-build-isolation", "--no-index", f"--wheel-dir={output}")
    pip("wheel", *options, source)
    (path,) = output.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with the installed wheel and its programs."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--no-index", "--no-compile", f"--target={folder}", wheel)
    return folder


@pytest.fixture
def call(installed, cache, tmp_path):
    """Run an installed program in an empty folder, from which no checkout is seen."""
    path = (installed, programs.HELPERS / "without_torch")
    env = programs.environment(cache) | {"PYTHONPATH": os.pathsep.join(map(str, path))}

    def run(name, *arguments, expect=0):
        program = sys.executable if name == "python" else installed / "bin" / name
        done = subprocess.run(
            [program, *map(str, arguments)],
            **{"cwd": tmp_path, "env": env, "capture_output": True, "text": True, "timeout": 300},
        )
        assert done.returncode == expect, f"exit code {done.returncode}\n{done.stderr[-3000:]}"
        return done

    return run


def pip(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "pip", *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_wheel_holds_the_packages_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        information = {
            name.split(".dist-info/")[1]: archive.read(name).decode()
            for name in archive.namelist()
            if ".dist-info/" in name
        }
    expected = {
        path.relative_to(programs.ROOT).as_posix()
        for package in PACKAGES
        for path in (programs.ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    configs = {path.name for path in (programs.ROOT / "configs").glob("*.py")}
    expected |= {f"noise2map_jax/configs/{name}" for name in configs}
    assert {"ss_spacenet7.py", "default.py"} <= configs
    assert {f"{package}/py.typed" for package in PACKAGES} <= expected
    assert "noise2map_jax/weights/drawn/drawn_ss.safetensors" in expected
    assert names == expected
    license_text = (programs.ROOT / "LICENSE").read_text()
    assert information["licenses/LICENSE"] == license_text
    assert "Copyright 2026 The noise2map_jax authors" in license_text
    assert "License-Expression: Apache-2.0\n" in information["METADATA"]


def test_configs_are_those_of_the_installed_package(call, installed):
    """Every shipped config, and modules, come from the wheel; the checkout cannot be imported."""
    script = """
import importlib, importlib.util, pathlib, data_prep, noise2map_jax.main
from noise2map_jax.experiment import shipped_configs
assert importlib.util.find_spec("benchmarks") is None
modules = [data_prep, noise2map_jax.main]
for name in shipped_configs.names():
    modules.append(importlib.import_module(f"noise2map_jax.configs.{name}"))
    modules[-1].get_config()
print(*(module.__file__ for module in modules), sep="\\n")
"""
    files = [pathlib.Path(line) for line in call("python", "-c", script).stdout.splitlines()]
    assert len(files) > 15
    assert all(file.is_relative_to(installed) for file in files), files


def test_from_nothing_to_a_map(call, tmp_path):
    written = call("noise2map-data", "synthetic", "--task=ss", "--name=thin", "--data_dir=data",
                   "--num_scenes=4,2,2", "--scene_size=32", "--tile_size=32")  # fmt: skip
    assert "train" in written.stdout
    call("noise2map", "--config=ss_spacenet7", *THIN)
    workdir = tmp_path / "runs" / "ss_spacenet7"
    assert sorted(programs.metrics(workdir, "val/f1/foreground")) == [2]
    pixels, _ = segmentation_scene(np.random.default_rng(5), 64)
    Image.fromarray(pixels).save(tmp_path / "scene.png")
    call("noise2map-predict", f"--workdir={workdir}", "--image=scene.png", "--output=map.tif")
    with pytest.warns(NotGeoreferencedWarning):
        mapped = rasterio.open(tmp_path / "map.tif")
    with mapped:
        assert mapped.shape == (64, 64)
        assert set(np.unique(mapped.read(1))) <= {0, 1}


def test_a_config_of_ones_own_begins_with_a_shipped_one(call, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from noise2map_jax.configs import ss_buildings\n\n\n"
        "def get_config():\n"
        "    config = ss_buildings.get_config()\n"
        '    config.data.dataset = "mine"\n'
        "    return config\n"
    )
    done = call("noise2map", "--config=mine.py", expect=2)
    assert done.stderr.startswith("error: no dataset 'mine' in 'data'")


def test_help_names_the_program_and_its_options(call, installed):
    printed = call("noise2map", "--help").stdout
    assert "noise2map --config=CONFIG" in printed
    assert "python -m" not in printed
    assert "<train|eval|" in printed
    # One process, which imports once, calls the scripts as a shell would.
    script = """
import contextlib, runpy, sys
for path in sys.argv[1:]:
    sys.argv = [path, "--help"]
    print("SCRIPT")
    with contextlib.suppress(SystemExit):
        runpy.run_path(path, run_name="__main__")
"""
    names = ("predict", "polygonize", "score", "export", "serve", "rank", "weights", "data")
    paths = [installed / "bin" / f"noise2map-{name}" for name in names]
    _, *texts = call("python", "-c", script, *paths).stdout.split("SCRIPT\n")
    for name, printed in zip(names, texts, strict=True):
        assert printed.startswith(f"usage: noise2map-{name} ")
        assert "python -m" not in printed
