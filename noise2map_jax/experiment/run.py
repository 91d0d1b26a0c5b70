"""Read a finished run: its config and its best parameters."""

import contextlib
import json
import math
import pathlib
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from noise2map_jax.buckets.copies import local
from noise2map_jax.devices import checkpoint, sharding
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.components import abstract_params, trained_sizes
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.experiment.run_config import load_config
from noise2map_jax.experiment.task_configs import task_configs
from noise2map_jax.network.interface import Network


def open_run(
    workdir: str | pathlib.Path, mesh: Mesh | None = None
) -> tuple[ConfigDict, Network, int, Any]:
    """Open a finished run, for example to predict in other code.

    Args:
        workdir: the run's work folder, or its address such as `s3://bucket/run`.
        mesh: the devices that hold the parameters; None = all.

    Returns:
        `(config, model, step, params)`: the best parameters, and the step that they were saved at.
        Where `--mode=eval` has found temperatures for these parameters, the config has them.

    Raises:
        UserError: there is no run, or no checkpoint of its network, or its report is damaged.
    """
    path = local(str(workdir))
    config = load_config(path)
    model = create_model(config)
    step, params = restore_best(path, config, model, mesh or sharding.create_mesh())
    return _with_temperatures(config, path, step), model, step, params


def _with_temperatures(config: ConfigDict, workdir: pathlib.Path, step: int) -> ConfigDict:
    """Set each task's `eval.temperature` to the one that was found for this step's parameters."""
    config = config.copy_and_resolve_references()
    for task in task_configs(config):
        path = workdir / "report" / (f"threshold_{task}.json" if config.tasks else "threshold.json")
        if not path.is_file():
            continue
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            temperature = float(found.get("temperature", 1.0))
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is damaged ({error}): run --mode=eval again") from None
        if not 0 < temperature < math.inf:
            raise UserError(f"{path} has the temperature {temperature}: run --mode=eval again")
        if found.get("step") == step:
            own = config.tasks[task] if config.tasks else config
            with own.unlocked():
                own.eval.temperature = temperature
    return config


def restore_best(
    workdir: pathlib.Path, config: ConfigDict, model: Network, mesh: Mesh
) -> tuple[int, Any]:
    """Restore the best parameters of a run onto every device.

    Returns:
        The step that the parameters were saved at, and the tree of parameters.

    Raises:
        UserError: there are no parameters, or they belong to another architecture.
    """
    checkpoint.check_best(workdir / "checkpoints")
    shapes = abstract_params(model, trained_sizes(config))
    abstract = checkpoint.abstract_like(shapes, sharding.replicated(mesh))
    with contextlib.closing(checkpoint.Checkpoints(workdir / "checkpoints")) as checkpoints:
        params = checkpoints.restore_best(abstract)
        step = checkpoints.best_step()
    assert step is not None  # restoring would have failed
    return step, params
