"""The full model of a finished run as one file of half precision: small enough to pass on.

The tensors have the authors' names. The metadata of the file hold the run's config, task and step.
"""

import dataclasses
import json
import os
import pathlib
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from noise2map_jax import strict_json
from noise2map_jax.buckets.address import local_path
from noise2map_jax.buckets.copies import local
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.config_json import config_of
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.experiment.task_configs import task_configs
from noise2map_jax.network.interface import find_head
from noise2map_jax.network.model import Noise2Map, as_noise2map
from noise2map_jax.weights.authors import load_authors, to_authors
from noise2map_jax.weights.export import portable
from noise2map_jax.weights.finished_run import FinishedRun, read_run
from noise2map_jax.weights.safetensors_file import read_metadata, write_safetensors

SUFFIX = ".safetensors"
KEY = "noise2map"  # of the metadata
FORMAT = 1  # of what lies there


@dataclasses.dataclass(frozen=True)
class Origin:
    """The run that a file is of.

    Attributes:
        step: of the weights.
        task: the task of the projections.
        config: the config of that task.
    """

    step: int
    task: str
    config: ConfigDict


def write_single_file(
    workdir: str | os.PathLike[str], output: str | os.PathLike[str]
) -> pathlib.Path:
    """Write the best parameters of a finished run of one task as one file.

    Args:
        workdir: the run's work folder.
        output: the file to write, `.safetensors`; an existing one is replaced, and its folder is
            made.

    Returns:
        The file. Its tensors are float16: rounded to 11 binary digits.

    Raises:
        UserError: there is no finished run, it is of several tasks, of denoising or of another
            network, the output is a folder or has another suffix, or values do not fit float16.
        OSError: the file cannot be written.
    """
    path = local_path(os.fspath(output), "--output")
    if path.suffix != SUFFIX or path.is_dir():
        raise UserError(f"output {str(path)!r} is no file that ends in {SUFFIX}; choose another")
    run = read_run(local(os.fspath(workdir)))
    as_noise2map(run.model, "a file of half precision")
    if len(run.views) != 1 or "denoise" in run.views:
        raise UserError(
            f"{workdir} is of {', '.join(run.views)}, and a file holds one task with a map; "
            "use `export`"
        )
    ((task, config),) = run.views.items()
    halves = _halves(to_authors(run.params, task), str(workdir))
    about = {"format": FORMAT, "step": run.step, "task": task, "config": portable(config)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(path, halves, {KEY: strict_json.dumps(about)})
    return path


def is_single_file(path: pathlib.Path) -> bool:
    """Whether a file of weights tells the network that it is of."""
    return path.suffix == SUFFIX and KEY in read_metadata(path)


def read_origin(path: pathlib.Path) -> Origin:
    """Read what a file tells of its run; raises as `load_single_file` does."""
    try:
        about = json.loads(read_metadata(path)[KEY])
        version, config = about["format"], about["config"]
        step, task = about["step"], about["task"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: its metadata {KEY!r} are damaged ({error}); write it again"
        ) from None
    if version != FORMAT or not isinstance(config, dict):
        raise UserError(
            f"{path}: format is {version!r}, expected {FORMAT} and a config: another version wrote "
            "the file; write it again"
        )
    if type(step) is not int or step < 0:
        raise UserError(f"{path}: its step is {step!r}, expected a number from 0; write it again")
    return Origin(step, task, config_of(config, path))


def load_single_file(path: pathlib.Path) -> tuple[Origin, Noise2Map, dict[str, Any]]:
    """Load a file that `write_single_file` wrote.

    Args:
        path: the file.

    Returns:
        `(origin, model, params)`: where it comes from, the network, and its tree, float32.

    Raises:
        UserError: the file is damaged or of another version, or tensors do not fit its config.
    """
    origin = read_origin(path)
    try:
        model = as_noise2map(create_model(origin.config), str(path))
        find_head(model, origin.task)
    except (AttributeError, KeyError, TypeError, ValueError, UserError) as error:
        raise UserError(f"{path}: not a config of this version ({error}); write it again") from None
    return origin, model, load_authors(path, model, origin.task)


def check_single_file(name: str, path: pathlib.Path) -> None:
    """Raise a UserError unless a file is there that tells its network; `name` is what was given."""
    if not path.is_file():
        raise UserError(f"no file {name!r}: give a run, an export, or a file of weights")
    if not is_single_file(path):
        raise UserError(
            f"{name!r} predicts no maps: it is no {SUFFIX} file of `python -m noise2map_jax.weights"
            " file`, which tells its network; it may serve as init_from"
        )


def read_single_file(path: pathlib.Path) -> FinishedRun:
    """Read a file as the run it was written of, without scores; raises as `load_single_file`."""
    origin, model, params = load_single_file(path)
    views = task_configs(origin.config)
    return FinishedRun(origin.config, views, model, origin.step, jax.device_get(params), {})


def _halves(tensors: dict[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """Round tensors to half precision, or say which of them it cannot hold."""
    largest = float(np.finfo(np.float16).max)
    infinite = [name for name, value in tensors.items() if not np.isfinite(value).all()]
    large = [name for name, value in tensors.items() if np.any(np.abs(value) > largest)]
    for names, what in (
        (infinite, "are not finite; train again"),
        (large, f"hold values above {largest:,.0f}, the largest of float16; use `export`"),
    ):
        if names:
            raise UserError(f"{source}: {len(names)} tensors, such as {names[0]}, {what}")
    return {name: value.astype(np.float16) for name, value in tensors.items()}
