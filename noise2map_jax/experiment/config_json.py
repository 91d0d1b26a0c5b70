"""The config of a run as JSON: the fields that it has, and those that came later.

A run that an earlier version wrote lacks the newer fields; they get values that keep its behaviour.
"""

from typing import Any

from ml_collections import ConfigDict

from noise2map_jax.errors import UserError
from noise2map_jax.experiment.config_fields import fields, with_tuples
from noise2map_jax.experiment.shipped_configs import default_config

FORMAT = 5  # of config.json; it grows when fields change their meaning; new ones: see below
# Fields added since format 2, with values that keep the earlier behaviour.
ADDED_FIELDS: dict[str, dict[str, Any]] = {
    "mesh": {"fsdp": 1},
    "eval": {
        "num_noise_draws": 4,  # an exception: earlier versions drew once; now all runs use 4
        "temperature": 1.0,
        "map_tile_size": 0,
    },
    "model": {
        "matmul_precision": "default",
        "name": "noise2map",
        "encoder": "",
        "options": "",
        "scaling": "plain",
        "noised_input": False,
        "patch_size": 1,
    },
    "train": {
        "max_skipped_updates": 0,
        "skip_above_gradient_norm": 0.0,
        "write_report": True,
        "remat": "none",
        "validate": True,
        "frozen_statistics": False,
        "losses": ("cross_entropy",),
        "profile_steps": (0, 0),
        "scene_share": 1.0,
        "share_by_place": False,
        "place_power": 1.0,
        "initial_share": 0.0,
    },
}
# Of sections that each task has for itself where there are several; likewise.
ADDED_TASK_FIELDS: dict[str, dict[str, Any]] = {
    "data": {"bands": (), "alpha": "auto", "nodata": -1},
    "augment": {"zoom": (1.0, 1.0), "colour": 0.0, "blur": 0.0, "paste": 0.0, "unchanged": 0.0},
}


def config_of(content: Any, source: object) -> ConfigDict:
    """Make a config from the content of a JSON file; lists become tuples.

    Fields that were added after the file was written get their values from `ADDED_FIELDS`
    and `ADDED_TASK_FIELDS`.

    Args:
        content: what the file holds.
        source: the file, for messages.

    Raises:
        UserError: fields are missing, or there is a plain value in place of a section.
    """
    try:
        config = ConfigDict(with_tuples(_with_added_fields(content)))
        missing = missing_fields(config)
    except (AttributeError, TypeError, ValueError) as error:  # also of a field's name
        raise UserError(f"{source} is not the config of a run: {error}") from None
    if missing:
        raise UserError(f"{source} is damaged: it lacks {named(missing)}; restore the file")
    return config


def _with_added_fields(content: Any) -> dict[str, Any]:
    for section, added in ADDED_FIELDS.items():
        found = content.get(section, {})
        if not isinstance(found, dict):
            raise UserError(f"{section!r} is {found!r}; expected a section of fields")
        content = content | {section: added | found}
    content = _with_task_fields(content)
    if isinstance(content.get("tasks"), dict):
        tasks = {name: _with_task_fields(task) for name, task in content["tasks"].items()}
        content = content | {"tasks": tasks}
    return content


def _with_task_fields(content: Any) -> Any:
    if not isinstance(content, dict):
        return content
    added = {
        name: fields | content[name]
        for name, fields in ADDED_TASK_FIELDS.items()
        if isinstance(content.get(name), dict)
    }
    return content | added


def missing_fields(config: ConfigDict) -> list[str]:
    """Return the fields of `configs/default.py` that a config lacks, sorted.

    Where there are several tasks, a field may be in the section of each.

    Raises:
        UserError: there is a plain value in place of the tasks or of one of them.
    """
    tasks = config.get("tasks")
    if "tasks" not in config:
        return ["tasks"]
    if not all(isinstance(section, ConfigDict) for section in (tasks, *_values(tasks))):
        raise UserError(f"'tasks' is {tasks!r}; expected a section for each task")
    present = fields(config)
    missing = [
        name
        for name in fields(default_config())
        if name not in present
        and not (tasks and name == "task")
        and not (tasks and all(f"tasks.{task}.{name}" in present for task in tasks))
    ]
    return sorted(
        missing + [f"tasks.{task}.weight" for task in tasks if "weight" not in tasks[task]]
    )


def _values(tasks: Any) -> list[Any]:
    return list(tasks.values()) if isinstance(tasks, ConfigDict) else []


def named(missing: list[str]) -> str:
    """Name some of the fields that a config lacks, and how many there are."""
    more = f" and {len(missing) - 3} more fields" if len(missing) > 3 else ""
    return ", ".join(missing[:3]) + more
