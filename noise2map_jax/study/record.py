"""The config of a study on disk: written once at its start; a second file records later changes.

study.json            the config at the start
study_history.jsonl   a line for each later change: each field with its value before and after
"""

import json
import pathlib
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
from noise2map_jax.experiment.config_json import config_of
from noise2map_jax.experiment.field_rules import May, names
from noise2map_jax.experiment.run_config import CONFIG

STUDY, HISTORY = "study.json", "study_history.jsonl"
OF_THE_STUDY = "study."  # variants, seeds and the rest: a study may grow, members are kept


def record(config: ConfigDict, workdir: pathlib.Path) -> Changes:
    """Write a study's config at its start; later compare with it and append the changes.

    Args:
        config: the config to start or continue with.
        workdir: the study's work folder.

    Returns:
        The changes since the last start, all of them allowed.

    Raises:
        UserError: a field differs that may not, or a file is damaged.
    """
    path = workdir / STUDY
    begun = any((workdir / "members").glob(f"*/{CONFIG}"))
    if not path.is_file() or not begun:  # nothing was trained with an earlier config
        workdir.mkdir(parents=True, exist_ok=True)
        path.write_text(strict_json.dumps(config.to_dict(), indent=2) + "\n", encoding="utf-8")
        (workdir / HISTORY).unlink(missing_ok=True)
        return {}
    changed = changes(present_config(workdir), config)
    allowed = (*names(May.GO_ON_IN_STUDY), OF_THE_STUDY)
    if refused := {k: v for k, v in changed.items() if not is_among(k, allowed)}:
        raise UserError(
            f"{workdir} was started with other values of {describe(refused)}; use its values, give "
            "them to a variant of its own, or start a new study with another --workdir"
        )
    if changed:
        with (workdir / HISTORY).open("a", encoding="utf-8") as file:
            file.write(strict_json.dumps({"changes": changed}) + "\n")
    return changed


def present_config(workdir: pathlib.Path) -> ConfigDict:
    """Return the config at the start of a study with the later changes applied.

    Raises:
        UserError: a file is damaged.
    """
    path, history = workdir / STUDY, workdir / HISTORY
    try:
        config = config_of(json.loads(path.read_text(encoding="utf-8")), path)
        lines = history.read_text(encoding="utf-8").splitlines() if history.is_file() else []
        latest: dict[str, Any] = {
            field: after
            for line in lines
            for field, (_, after) in json.loads(line)["changes"].items()
        }
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"{workdir}: {STUDY} or {HISTORY} is damaged ({error!r}); take another --workdir"
        ) from None
    return with_values(config, {k: v for k, v in latest.items() if k in fields(config)})
