"""Read a finished run: its config and its best parameters."""

import contextlib
import pathlib
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from noise2map_jax.devices import checkpoint, sharding
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.components import abstract_params, trained_sizes
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.experiment.run_config import load_config
from noise2map_jax.network.interface import Network


def open_run(
    workdir: str | pathlib.Path, mesh: Mesh | None = None
) -> tuple[ConfigDict, Network, int, Any]:
    """Open a finished run, for example to predict in other code.

    Args:
        workdir: the run's work folder.
        mesh: the devices that hold the parameters; None = all.

    Returns:
        `(config, model, step, params)`: the best parameters, and the step that they were saved at.

    Raises:
        UserError: there is no run, or no checkpoint of its network.
    """
    path = pathlib.Path(workdir)
    config = load_config(path)
    model = create_model(config)
    step, params = restore_best(path, config, model, mesh or sharding.create_mesh())
    return config, model, step, params


def restore_best(
    workdir: pathlib.Path, config: ConfigDict, model: Network, mesh: Mesh
) -> tuple[int, Any]:
    """Restore the best parameters of a run onto every device.

    Returns:
        The step that the parameters were saved at, and the tree of parameters.

    Raises:
        UserError: there are no parameters, or they belong to another architecture.
    """
    if not (workdir / "checkpoints" / "best").is_dir():  # Orbax would create the folder
        raise UserError(f"no checkpoint in {str(workdir / 'checkpoints')!r}; train first")
    shapes = abstract_params(model, trained_sizes(config))
    abstract = checkpoint.abstract_like(shapes, sharding.replicated(mesh))
    with contextlib.closing(checkpoint.Checkpoints(workdir / "checkpoints")) as checkpoints:
        params = checkpoints.restore_best(abstract)
        step = checkpoints.best_step()
    assert step is not None  # restoring would have failed
    return step, params
