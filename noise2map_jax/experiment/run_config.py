"""The config of a run: written once, at its start; what has changed since is kept beside it.

config.json             what the run was started with, and digests of its datasets
config_history.jsonl    a line for each later change: the step from which it holds, and each field
                        with its value before and after
"""

import json
import os
import pathlib
from collections.abc import Collection, Mapping
from typing import Any

from ml_collections import ConfigDict

from noise2map_jax.errors import UserError
from noise2map_jax.experiment.config_fields import (
    Changes,
    changes,
    describe,
    fields,
    is_among,
    with_tuples,
    with_values,
)
from noise2map_jax.experiment.field_rules import OTHER_DATA, TIMESTEPS, May, names
from noise2map_jax.experiment.scaling_config import keep_scaling

FORMAT = 5  # of config.json; it grows when fields are added or change their meaning
CONFIG, HISTORY = "config.json", "config_history.jsonl"
# What came after format 2, with the values that are what was done before.
ADDED_FIELDS: dict[str, dict[str, Any]] = {
    "mesh": {"fsdp": 1},
    "eval": {"num_noise_draws": 4},  # once it was one: the same rule now for every run
    "model": {"matmul_precision": "default"},
    "train": {
        "max_skipped_updates": 0,
        "skip_above_gradient_norm": 0.0,
        "write_report": True,
        "remat": "none",
    },
}


def save_config(
    config: ConfigDict, workdir: pathlib.Path, digests: Mapping[str, str] | None = None
) -> None:
    """Write `config.json`, from which a finished run can be used again.

    Args:
        config: what the run is started with.
        workdir: its work folder.
        digests: of its datasets, by task.
    """
    content = {"format": FORMAT, "datasets": dict(digests or {})} | config.to_dict()
    _write(workdir / CONFIG, json.dumps(content, indent=2) + "\n")


def load_config(workdir: pathlib.Path) -> ConfigDict:
    """Read the config of a run: what it was started with, and what was changed since.

    Raises:
        UserError: there is no run, or its config is damaged.
    """
    _, content = _read(workdir)
    config, changed = config_of(content), _changed_since(workdir)
    if unknown := changed.keys() - fields(config).keys():
        raise UserError(
            f"{workdir / HISTORY} is damaged: there is no field {min(unknown)!r}; train in another "
            "--workdir"
        )
    return with_values(config, changed)


def config_of(content: Any) -> ConfigDict:
    """Make a config of what JSON holds, in which lists stand for tuples.

    Fields that it lacks since they came later have the values that are what was done before.

    Raises:
        UserError: a section of the config is none.
    """
    for section, added in ADDED_FIELDS.items():
        found = content.get(section, {})
        if not isinstance(found, dict):
            raise UserError(f"a config's {section!r} is {found!r}; expected a section of fields")
        content = content | {section: added | found}
    return ConfigDict(with_tuples(content))


def record_config(
    config: ConfigDict, workdir: pathlib.Path, digests: Mapping[str, str], step: int
) -> None:
    """Write a run's config at its start; later add to its history what has changed.

    Args:
        config: what it is started or gone on with; `check_going_on` has found nothing wrong.
        workdir: its work folder.
        digests: of its datasets, by task.
        step: from which the changes hold.
    """
    if not (workdir / CONFIG).is_file() or step == 0:  # nothing was learned with what stood there
        save_config(config, workdir, digests)
        (workdir / HISTORY).unlink(missing_ok=True)
    elif changed := changes(load_config(workdir), config):
        path = workdir / HISTORY
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        _write(path, before + json.dumps({"step": step, "changes": changed}) + "\n")


def check_going_on(
    workdir: pathlib.Path,
    config: ConfigDict,
    digests: Mapping[str, str],
    *,
    may: May = May.GO_ON,
    remedy: str = "start a new run with another --workdir",
) -> Changes:
    """Compare what a run is to be gone on with, or asked again, with what it is.

    Args:
        workdir: of the run.
        config: what is asked for, with what follows from the data filled in.
        digests: of the datasets, by task.
        may: what it is about: `May.GO_ON_IN_STUDY` of members of a study.
        remedy: what else can be done, to be said.

    Returns:
        What differs and may.

    Raises:
        UserError: something else differs, or a dataset was built anew.
    """
    changed = changes(load_config(workdir), config)
    if refused := {k: v for k, v in changed.items() if not is_among(k, names(may))}:
        raise UserError(
            f"{workdir} was trained with other values of {describe(refused)}; give those, or "
            f"{remedy}"
        )
    if tasks := rebuilt(workdir, digests):
        raise UserError(
            f"the dataset of task {', '.join(tasks)} was built anew since {workdir} was started: "
            f"its records are others; {remedy}"
        )
    return changed


def check_same_numbers(workdir: pathlib.Path) -> None:
    """Refuse to train on where an earlier version began.

    Before format 5 tasks shared their random numbers, and went through their records otherwise: the
    second part of the run would not be that of any config.

    Raises:
        UserError: the run was begun before format 5.
    """
    found = json.loads((workdir / CONFIG).read_text(encoding="utf-8")).get("format", 1)
    if found < 5:
        raise UserError(
            f"{workdir} was begun by an earlier version, which drew other random numbers: it can "
            "be evaluated, used for maps and begun from (init_from), but not trained on; start a "
            "new run with another --workdir"
        )


def rebuilt(workdir: pathlib.Path, digests: Mapping[str, str]) -> list[str]:
    """Name the tasks whose datasets hold other records than when a run was started.

    Runs of before format 5 do not say what they were started with: none is named.
    """
    before, _ = _read(workdir)
    return [task for task, digest in digests.items() if before.get(task, digest) != digest]


def evaluated_config(
    workdir: pathlib.Path, config: ConfigDict, deliberate: Collection[str] = ()
) -> tuple[ConfigDict, Changes]:
    """Return what a run is evaluated with: its own config, with the data and `eval` of another.

    Args:
        workdir: of the run.
        config: what is asked for.
        deliberate: full names of fields that were given one by one, not by a whole config: only
            so can the timesteps of prediction be others, and only so does it matter what a config
            says of training.

    Returns:
        The config, and what in it bears on scores and is not as in training.

    Raises:
        UserError: something else differs.
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
            f"it was trained with, or leave --config out; --config.{TIMESTEPS} alone can be given "
            "to predict otherwise"
        )
    differing = {k: v for k, v in taken.items() if k in chosen or is_among(k, OTHER_DATA)}
    return with_values(trained, {field: after for field, (_, after) in taken.items()}), differing


def _read(workdir: pathlib.Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Digests of the datasets by task, and the rest of `config.json`."""
    path = workdir / CONFIG
    if not path.is_file():
        raise UserError(f"no run in {str(workdir)!r}: it has no config.json; train first")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of the decoder or of the encoding
        raise UserError(f"{path} is not JSON ({error}); train in another --workdir") from None
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
    """Return the newest values of the fields that were changed since the start of a run."""
    path = workdir / HISTORY
    if not path.is_file():
        return {}
    try:
        entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {field: after for entry in entries for field, (_, after) in entry["changes"].items()}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error!r}); train in another --workdir") from None


def _write(path: pathlib.Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
