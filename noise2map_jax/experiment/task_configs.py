"""A config of several tasks, split into one config for each task."""

import math
from typing import Any

from ml_collections import ConfigDict

from noise2map_jax.errors import UserError
from noise2map_jax.method.tasks import get_task


def task_configs(config: ConfigDict) -> dict[str, ConfigDict]:
    """Split a config into one for each task, as if that task were the only one.

    A config of one task is returned as it is. A config of several tasks has a section for each in
    `tasks` with the fields that tasks do not share (`default.multitask` in configs/ makes it); all
    other fields are common. A task of weight 0 is left out and gets no head.

    Args:
        config: an experiment.

    Returns:
        Configs by task name, sorted by name.

    Raises:
        UserError: a task is unknown, or every weight is 0.
    """
    if not config.tasks:
        get_task(config.task)
        return {config.task: config}
    views = {n: _view(config, n) for n in sorted(config.tasks) if task_weight(config, n) > 0}
    if not views:
        raise UserError("the weight of every task is 0; nothing would be trained")
    return views


def task_weight(config: ConfigDict, task: str) -> float:
    """Return the weight of a task's loss in the sum over tasks.

    Raises:
        UserError: the weight is negative or not finite.
    """
    weight = config.tasks[task].weight if config.tasks else 1.0
    if not 0 <= weight < math.inf:
        raise UserError(f"tasks.{task}.weight is {weight:g}; expected 0 or more")
    return weight


def task_config(config: ConfigDict, task: str) -> ConfigDict:
    """Return the config of one task; an empty name stands for the only task.

    Raises:
        UserError: there is no such task, or the name is empty and there are several tasks.
    """
    views = task_configs(config)
    if not task and len(views) == 1:
        return next(iter(views.values()))
    if task not in views:
        asked = f"task {task!r}" if task else "no task"
        raise UserError(f"{asked} is named; this run has {', '.join(views)}: see --task")
    return views[task]


def _view(config: ConfigDict, name: str) -> ConfigDict:
    get_task(name)
    common = {k: v for k, v in config.to_dict().items() if k != "tasks"}
    own = {k: v for k, v in config.tasks[name].to_dict().items() if k != "weight"}
    return ConfigDict(_merged(common, own) | {"task": name, "tasks": {}})


def _merged(common: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = dict(common)
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(common.get(key), dict)
        merged[key] = _merged(common[key], value) if both else value
    return merged
