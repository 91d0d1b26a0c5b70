"""Loads a trained network from a run, an export of it or a folder on the hub."""

import os
import pathlib
from typing import Any

from jax.sharding import Mesh

from noise2map_jax.buckets.copies import local
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

FOUND = ("threshold", "scores_val", "scores_test")  # files of --mode=eval in a run's report


def load(source: str | os.PathLike[str], *, task: str = "") -> Model:
    """Load a trained network.

    Args:
        source: the work folder of a finished run; a folder that `python -m noise2map_jax.weights
            export` or `python -m noise2map_jax.export --format=stablehlo` wrote; the address of
            either, such as `s3://bucket/run`; or the name of an export for weights on the hub,
            `hf:OWNER/REPO/FOLDER`.
        task: whose head, for a run of several tasks: `ss` or `cd`.

    Raises:
        UserError: there is no such run or export, or it has no head for the task.
    """
    name = os.fspath(source)
    folder = hub.fetch(name) if name.startswith(hub.PREFIX) else local(name)
    mesh = sharding.create_mesh()
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
