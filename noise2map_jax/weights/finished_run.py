"""The content of a finished run's work folder that an export needs."""

import dataclasses
import pathlib
from typing import Any

import jax
from ml_collections import ConfigDict

from noise2map_jax.errors import UserError
from noise2map_jax.experiment.components import trained_sizes
from noise2map_jax.experiment.network_choice import sample_size
from noise2map_jax.experiment.run import open_run
from noise2map_jax.experiment.task_configs import task_configs
from noise2map_jax.network.interface import Network
from noise2map_jax.weights.config_file import read_json

SCORES = ("protocol", "step", "scores")  # required fields of a file of scores


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A run and its best parameters.

    Attributes:
        config: the config of the run.
        views: by task, the config as if that task were the only one.
        model: the network.
        step: the step of the parameters.
        params: the whole tree, NumPy arrays.
        scores: by file name, the scores that `--mode=eval` wrote; empty if it was not run.
    """

    config: ConfigDict
    views: dict[str, ConfigDict]
    model: Network
    step: int
    params: dict[str, Any]
    scores: dict[str, dict[str, Any]]

    @property
    def sample_size(self) -> int:
        """Side of the backbone's input in training, in pixels: the largest of all tasks."""
        return sample_size(self.config) or max(trained_sizes(self.config).values())


def read_run(workdir: pathlib.Path) -> FinishedRun:
    """Read a finished run.

    Raises:
        UserError: there is no run, it has no checkpoint, or its scores are damaged.
    """
    config, model, step, params = open_run(workdir)
    scores = {path.name: _read_scores(path) for path in (workdir / "report").glob("scores_*.json")}
    return FinishedRun(
        config=config,
        views=task_configs(config),
        model=model,
        step=step,
        params=jax.device_get(params),
        scores=dict(sorted(scores.items())),
    )


def _read_scores(path: pathlib.Path) -> dict[str, Any]:
    content = read_json(path)
    if any(name not in content for name in SCORES) or not isinstance(content["scores"], dict):
        raise UserError(f"{path} lacks scores of --mode=eval ({', '.join(SCORES)}); evaluate again")
    return content
