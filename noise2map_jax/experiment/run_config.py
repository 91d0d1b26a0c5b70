"""The config of a run: written once at its start; a second file records later changes.

config.json             the config at the start, and digests of the datasets
config_history.jsonl    a line for each later change: the step from which it holds, and each field
                        with its value before and after
"""

import json
import os
import pathlib
from collections.abc import Collection, Mapping
from typing import Any

from ml_collections import ConfigDict

from noise2map_jax import strict_json
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.config_fields import (
    Changes,
    changes,
    describe,
    fields,
    is_among,
    with_values,
)
from noise2map_jax.experiment.config_json import FORMAT, config_of
from noise2map_jax.experiment.field_rules import OTHER_DATA, TIMESTEPS, May, names
from noise2map_jax.experiment.scaling_config import keep_scaling

CONFIG, HISTORY = "config.json", "config_history.jsonl"


def save_config(
    config: ConfigDict, workdir: pathlib.Path, digests: Mapping[str, str] | None = None
) -> None:
    """Write `config.json`, from which a finished run can be opened again.

    Args:
        config: the config at the start of the run.
        workdir: the run's work folder.
        digests: digests of the run's datasets, by task.
    """
    content = {"format": FORMAT, "datasets": dict(digests or {})} | config.to_dict()
    _write(workdir / CONFIG, strict_json.dumps(content, indent=2) + "\n")


def load_config(workdir: pathlib.Path) -> ConfigDict:
    """Read the present config of a run: the config at its start, with later changes applied.

    Raises:
        UserError: there is no run, or its config is damaged.
    """
    _, content = _read(workdir)
    config, changed = config_of(content, workdir / CONFIG), _changed_since(workdir)
    if unknown := changed.keys() - fields(config).keys():
        raise UserError(
            f"{workdir / HISTORY} is damaged: there is no field {min(unknown)!r}; train in another "
            "--workdir"
        )
    return with_values(config, changed)


def record_config(
    config: ConfigDict, workdir: pathlib.Path, digests: Mapping[str, str], step: int
) -> None:
    """Write a run's config at its start; later append the changes to its history.

    Args:
        config: the config to start or continue with, which `check_going_on` has accepted.
        workdir: the run's work folder.
        digests: digests of the run's datasets, by task.
        step: the step from which the changes hold.
    """
    if not (workdir / CONFIG).is_file() or step == 0:  # no step was trained with an earlier config
        save_config(config, workdir, digests)
        (workdir / HISTORY).unlink(missing_ok=True)
    elif changed := changes(load_config(workdir), config):
        path = workdir / HISTORY
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        _write(path, before + strict_json.dumps({"step": step, "changes": changed}) + "\n")


def check_going_on(
    workdir: pathlib.Path,
    config: ConfigDict,
    digests: Mapping[str, str],
    *,
    may: May = May.GO_ON,
    remedy: str = "start a new run with another --workdir",
) -> Changes:
    """Compare the config and data for continuing a run to those that it was trained with.

    Args:
        workdir: the run's work folder.
        config: the requested config, completed with values read from the data.
        digests: digests of the datasets, by task.
        may: the occasion; `May.GO_ON_IN_STUDY` for members of a study.
        remedy: the advice that ends an error message.

    Returns:
        The changes, all of them allowed.

    Raises:
        UserError: a field differs that may not, or a dataset was built anew.
    """
    changed = changes(load_config(workdir), config)
    if refused := {k: v for k, v in changed.items() if not is_among(k, names(may))}:
        raise UserError(
            f"{workdir} was trained with other values of {describe(refused)}; use its values, or "
            f"{remedy}"
        )
    if tasks := rebuilt(workdir, digests):
        raise UserError(
            f"the dataset of task {', '.join(tasks)} was built anew since {workdir} was started, "
            f"and its records changed; {remedy}"
        )
    return changed


def check_same_numbers(workdir: pathlib.Path) -> None:
    """Raise if a run was started by an earlier version and so cannot be trained further.

    Before format 5 tasks shared their random numbers and read their records in another order: no
    config would describe the whole of a run that continues.

    Raises:
        UserError: the run was started before format 5.
    """
    found = json.loads((workdir / CONFIG).read_text(encoding="utf-8")).get("format", 1)
    if found < 5:
        raise UserError(
            f"{workdir} was started by an earlier version, which drew other random numbers: it can "
            "be evaluated, used for maps and used as init_from, but not trained further; start a "
            "new run with another --workdir"
        )


def rebuilt(workdir: pathlib.Path, digests: Mapping[str, str]) -> list[str]:
    """Name the tasks whose datasets hold other records than when the run was started.

    Runs from before format 5 did not record their data, so for them no task is named.
    """
    before, _ = _read(workdir)
    return [task for task, digest in digests.items() if before.get(task, digest) != digest]


def evaluated_config(
    workdir: pathlib.Path, config: ConfigDict, deliberate: Collection[str] = ()
) -> tuple[ConfigDict, Changes]:
    """Return the config to evaluate a run with: its own, with `data` and `eval` as requested.

    Args:
        workdir: the run's work folder.
        config: the requested config.
        deliberate: full names of fields given one by one on the command line. Only these can
            change the timesteps of prediction; a training field that differs is refused only if
            it is among them.

    Returns:
        The config, and the changes in it that affect scores.

    Raises:
        UserError: a field differs that may not.
    """
    trained = load_config(workdir)
    changed = changes(trained, keep_scaling(config, trained))
    chosen = {field for field in deliberate if is_among(field, (TIMESTEPS,))}
    taken = {
        k: v for k, v in changed.items() if is_among(k, names(May.BE_EVALUATED)) or k in chosen
    }
    refused = {
        field: values
        for field, values in changed.items()
        if field not in taken
        and not is_among(field, names(May.GO_ON))
        and (field in deliberate or not is_among(field, names(May.BE_TRAINED)))
    }
    if refused:
        raise UserError(
            f"{workdir} was trained with other values of {describe(refused)}; give the config that "
            "it was trained with, or leave out --config; only "
            f"--config.{TIMESTEPS} can change how it predicts"
        )
    differing = {k: v for k, v in taken.items() if k in chosen or is_among(k, OTHER_DATA)}
    return with_values(trained, {field: after for field, (_, after) in taken.items()}), differing


def _read(workdir: pathlib.Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the digests of the datasets by task, and the rest of `config.json`."""
    path = workdir / CONFIG
    if not path.is_file():
        raise UserError(f"no run in {str(workdir)!r}: it has no config.json; train first")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # JSON or UTF-8 is wrong
        raise UserError(f"{path} is not JSON ({error}); train in another --workdir") from None
    if isinstance(content, dict) and "task" not in content and "tasks" not in content:
        raise UserError(f"{path} is not the config of a run: it has no field 'task'")
    found = content.pop("format", 1) if isinstance(content, dict) else None
    if found not in (2, 3, 4, FORMAT):
        raise UserError(
            f"{path} has format {found}, expected {FORMAT}: another version wrote it; train in "
            "another --workdir"
        )
    digests = content.pop("datasets", {})
    if not isinstance(digests, dict):
        raise UserError(f"{path} is damaged: datasets is {digests!r}; train in another --workdir")
    return digests, content


def _changed_since(workdir: pathlib.Path) -> dict[str, Any]:
    """Return the newest values of all fields that changed since the start of a run."""
    path = workdir / HISTORY
    if not path.is_file():
        return {}
    try:
        entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {field: after for entry in entries for field, (_, after) in entry["changes"].items()}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error!r}); train in another --workdir") from None


def _write(path: pathlib.Path, text: str) -> None:
    """Write a file completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
