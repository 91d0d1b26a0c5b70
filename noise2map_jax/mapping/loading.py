"""Loads a trained network from a run, an export of it, one file or a folder on the hub."""

import os
import pathlib
from typing import Any

from jax.sharding import Mesh

from noise2map_jax.devices import sharding
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.config_json import config_of
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.experiment.run import open_run
from noise2map_jax.experiment.task_configs import task_config
from noise2map_jax.exports.loaded import PROGRAM
from noise2map_jax.exports.loaded import load as load_program
from noise2map_jax.mapping.model import Model
from noise2map_jax.network.interface import Network
from noise2map_jax.weights import hub
from noise2map_jax.weights.config_file import read_json
from noise2map_jax.weights.export import RUN_FILE, load_export
from noise2map_jax.weights.place import find
from noise2map_jax.weights.single_file import SUFFIX, check_single_file, load_single_file

FOUND = ("threshold", "scores_val", "scores_test")  # files of --mode=eval in a run's report


def load(source: str | os.PathLike[str], *, task: str = "") -> Model:
    """Load a trained network.

    Args:
        source: the work folder of a finished run; a folder that `python -m noise2map_jax.weights
            export` or `python -m noise2map_jax.export --format=stablehlo` wrote; a file of
            `python -m noise2map_jax.weights file`; the address of one of these, such as
            `s3://bucket/run`; the name of an export for weights on the hub,
            `hf:OWNER/REPO/FOLDER`; or of weights that come with the project, `shipped:drawn_ss`.
        task: whose head, for a run of several tasks: `ss` or `cd`.

    Raises:
        UserError: there is no such run, export or file, or it has no head for the task.
    """
    name = os.fspath(source)
    folder = find(name)
    mesh = sharding.create_mesh()
    if folder.is_file() or (folder.suffix == SUFFIX and not folder.is_dir()):
        return _single_file(name, folder, task, mesh)
    found: dict[str, dict[str, Any]] = {}
    network: Network
    if (folder / RUN_FILE).is_file():
        config, network, params = load_export(folder)
        step = read_json(folder / RUN_FILE).get("step")
        params = sharding.replicate(params, mesh)
    else:
        if (folder / PROGRAM).is_file():
            return _exported(name, folder, mesh)
        if (folder / "model.onnx").is_file():
            raise UserError(
                f"{name!r} holds model.onnx, a network for other programs: give the run itself, or"
                " an export of --format=stablehlo or of python -m noise2map_jax.weights"
            )
        if name.startswith(hub.PREFIX):
            raise UserError(
                f"{name} is a backbone alone: it has no {RUN_FILE}, so it predicts no maps; it"
                " serves as init_from"
            )
        config, network, step, params = open_run(folder, mesh)
    view = task_config(config, task)
    suffix = f"_{view.task}" if config.tasks else ""
    for kind in FOUND:
        path = folder / "report" / f"{kind}{suffix}.json"
        if path.is_file():
            found[kind] = read_json(path)
    return Model(name, view, network, params, mesh, step, found)


def _single_file(name: str, path: pathlib.Path, task: str, mesh: Mesh) -> Model:
    """Load a network that lies in one file of half precision."""
    check_single_file(name, path)
    origin, network, params = load_single_file(path)
    view = task_config(origin.config, task)
    return Model(name, view, network, sharding.replicate(params, mesh), mesh, origin.step, {})


def _exported(name: str, folder: pathlib.Path, mesh: Mesh) -> Model:
    """Load a network that was exported as a program."""
    program = load_program(folder)
    metadata = program.metadata
    if "config" not in metadata:
        raise UserError(f"{name!r} was exported by an earlier version; export the run again")
    config = config_of(metadata["config"], name)
    # The program's tiles are those that it predicts best, and it resamples them by itself.
    config.data.tile_size, config.augment.crop_size = program.tile_size, 0
    config.model.sample_size = 0
    return Model(name, config, create_model(config), {}, mesh, metadata["step"], {}, program)
