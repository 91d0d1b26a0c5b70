"""The full model of a finished run as one file of half precision: small enough to pass on.

The tensors have the authors' names. The run's config and step lie in the metadata of the file.
"""

import json
import os
import pathlib
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from noise2map_jax import strict_json
from noise2map_jax.buckets.address import local_path
from noise2map_jax.buckets.copies import local
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.config_json import config_of
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.network.model import Noise2Map, as_noise2map
from noise2map_jax.weights.authors import load_authors, to_authors
from noise2map_jax.weights.export import portable
from noise2map_jax.weights.finished_run import read_run
from noise2map_jax.weights.safetensors_file import read_metadata, write_safetensors

SUFFIX = ".safetensors"
KEY = "noise2map"  # of the metadata


def write_single_file(
    workdir: str | os.PathLike[str], output: str | os.PathLike[str]
) -> pathlib.Path:
    """Write the best parameters of a finished run of one task as one file.

    Args:
        workdir: the run's work folder.
        output: the file to write, `.safetensors`; an existing one is replaced.

    Returns:
        The file. Its tensors are float16: rounded to 11 binary digits.

    Raises:
        UserError: there is no finished run, it is of several tasks or of another network, the
            output has another suffix, or values are too large for float16.
    """
    path = local_path(os.fspath(output), "--output")
    if path.suffix != SUFFIX:
        raise UserError(f"output {str(path)!r} does not end in {SUFFIX}; choose another name")
    run = read_run(local(os.fspath(workdir)))
    as_noise2map(run.model, f"the run {workdir}")
    if len(run.views) != 1:
        raise UserError(
            f"{workdir} is of the tasks {', '.join(run.views)}, and a file holds one; use `export`"
        )
    (task,) = run.views
    tensors = to_authors(run.params, task)
    largest = np.finfo(np.float16).max
    large = [name for name, value in tensors.items() if not np.all(np.abs(value) <= largest)]
    if large:
        raise UserError(
            f"{workdir}: {len(large)} tensors, such as {large[0]}, hold values above {largest:,}, "
            "the largest of float16; use `export`"
        )
    halves = {name: value.astype(np.float16) for name, value in tensors.items()}
    about = strict_json.dumps({"step": run.step, "config": portable(run.config)})
    write_safetensors(path, halves, {KEY: about})
    return path


def is_single_file(path: pathlib.Path) -> bool:
    """Whether a file of weights tells the network that it is of."""
    return path.suffix == SUFFIX and KEY in read_metadata(path)


def load_single_file(path: pathlib.Path) -> tuple[ConfigDict, Noise2Map, dict[str, Any]]:
    """Load a file that `write_single_file` wrote.

    Args:
        path: the file.

    Returns:
        `(config, model, params)`: the run's config, its network, and the tree of its task, float32.

    Raises:
        UserError: the file is damaged, or tensors do not fit its config.
    """
    content = json.loads(read_metadata(path)[KEY])
    config = config_of(content["config"], path)
    model = as_noise2map(create_model(config), str(path))
    return config, model, load_authors(path, model, config.task)
