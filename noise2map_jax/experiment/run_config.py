"""The config of a run: written once, at its start; what has changed since is kept beside it.

config.json             what the run was started with, and digests of its datasets
config_history.jsonl    a line for each later change: the step from which it holds, and each field
                        with its value before and after
"""

import json
import os
import pathlib
import re
from collections.abc import Collection, Mapping
from typing import Any

from flax import traverse_util
from ml_collections import ConfigDict

from noise2map_jax.errors import UserError
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
# What may change when a run is gone on with, and why it stays the run that its config says. A name
# that ends in a dot is a whole section. Nothing else may: neither what is learned (init_from too,
# though it is read no more: the run would be described wrongly), nor what the best is chosen by.
MAY_CHANGE = {
    "train.num_steps": "more of the same training",
    "train.num_epochs": "more of the same training",
    "train.eval_every_steps": "the best is chosen among other steps",
    "train.log_every_steps": "what is told of it",
    "train.write_report": "what is told of it",
    "train.checkpoint_every_steps": "how much is lost when it is killed",
    "eval.split": "what is asked of the network later",
    "eval.batch_size": "how many records are read at a time",
    "eval.num_pictures": "what is shown",
    "eval.group_regex": "what is told of the scores",
    "eval.num_samples": "what is shown",
    "eval.num_sampling_steps": "what is shown",
    "data.data_dir": "where the records lie; their digest tells that they are the same",
    "data.num_threads": "how fast records are read",
    "data.prefetch_size": "how fast records are read",
    "mesh.": "where sums are computed",
    "train.remat": "what is computed twice",
    "train.num_microbatches": "the parts that sums are computed in",
}
# Members of a study are compared: all are of one length, their best chosen among the same steps.
MAY_CHANGE_IN_STUDIES = MAY_CHANGE.keys() - {
    *("train.num_steps", "train.num_epochs", "train.eval_every_steps")
}
# What hosts of one run may have each for itself.
MAY_DIFFER_BY_HOST = ("data.data_dir", "data.num_threads", "data.prefetch_size")
# What an evaluation takes from the config that it is given: its bands and classes are the run's.
OTHER_DATA = ("data.dataset", "data.tile_size")
EVALUATED = ("eval.", "mesh.", *MAY_DIFFER_BY_HOST, *OTHER_DATA)
# What bears on training alone: there the run's own values hold, whatever the config says.
TRAINED = ("train.", "augment.", "seed", "init_from", "init_parts", "init_input", "weight")
TIMESTEPS = "noise.inference_timesteps"
_SECTION = re.compile(r"^tasks\.[^.]+\.")  # of one task; its fields are named as those of the whole

Changes = dict[str, tuple[Any, Any]]  # by field, its value before and after


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
    for section, fields in ADDED_FIELDS.items():
        found = content.get(section, {})
        if not isinstance(found, dict):
            raise UserError(f"a config's {section!r} is {found!r}; expected a section of fields")
        content = content | {section: fields | found}
    return ConfigDict(_with_tuples(content))


def with_values(config: ConfigDict, values: Mapping[str, Any]) -> ConfigDict:
    """Return a copy with other values, as JSON has them, by the full names of their fields."""
    content = config.to_dict()
    for field, value in values.items():
        *path, last = field.split(".")
        section = content
        for name in path:
            section = section[name]
        section[last] = value
    return ConfigDict(_with_tuples(content))


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
    may_change: Collection[str] = MAY_CHANGE,
    remedy: str = "start a new run with another --workdir",
) -> Changes:
    """Compare what a run is to be gone on with, or asked again, with what it is.

    Args:
        workdir: of the run.
        config: what is asked for, with what follows from the data filled in.
        digests: of the datasets, by task.
        may_change: fields that may differ.
        remedy: what else can be done, to be said.

    Returns:
        What differs and may.

    Raises:
        UserError: something else differs, or a dataset was built anew.
    """
    changed = changes(load_config(workdir), config)
    if refused := {k: v for k, v in changed.items() if not _is_among(k, may_change)}:
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
    chosen = {field for field in deliberate if _SECTION.sub("", field) == TIMESTEPS}
    taken = {k: v for k, v in changed.items() if _is_among(k, EVALUATED) or k in chosen}
    refused = {
        field: values
        for field, values in changed.items()
        if field not in taken
        and not _is_among(field, MAY_CHANGE)
        and (field in deliberate or not _is_among(field, TRAINED))
    }
    if refused:
        raise UserError(
            f"{workdir} was trained with other values of {describe(refused)}; give the config that "
            f"it was trained with, or leave --config out; --config.{TIMESTEPS} alone can be given "
            "to predict otherwise"
        )
    differing = {k: v for k, v in taken.items() if k in chosen or _is_among(k, OTHER_DATA)}
    return with_values(trained, {field: after for field, (_, after) in taken.items()}), differing


def changes(before: ConfigDict, after: ConfigDict) -> Changes:
    """Return the fields in which two configs differ, with both values as JSON has them."""
    one, other = fields(before), fields(after)
    return {
        name: (one.get(name), other.get(name))
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    }


def fields(config: ConfigDict, *, without: Collection[str] = ()) -> dict[str, Any]:
    """Return values, as JSON has them, by the full names of their fields.

    Args:
        config: the config.
        without: fields that are left out, as in `MAY_CHANGE`.
    """
    content = json.loads(json.dumps(config.to_dict()))
    flat = traverse_util.flatten_dict(content, sep=".")
    return {name: value for name, value in flat.items() if not _is_among(name, without)}


def describe(changed: Changes) -> str:
    """Write changes for people, in a line."""
    return ", ".join(f"{k} ({before!r}, now {after!r})" for k, (before, after) in changed.items())


def _is_among(field: str, names: Collection[str]) -> bool:
    field = _SECTION.sub("", field)
    return any(field.startswith(n) if n.endswith(".") else field == n for n in names)


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


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tuples(v) for key, v in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
