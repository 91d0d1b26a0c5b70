"""A run that was trained: its config and its best parameters."""

import contextlib
import json
import pathlib
import re
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from noise2map_jax import checkpoint, sharding
from noise2map_jax.components import abstract_params, create_model, trained_sizes
from noise2map_jax.errors import UserError
from noise2map_jax.experiment import FORMAT
from noise2map_jax.model import Noise2Map

# Fields that may differ between training and using a run without changing what it predicts.
FREE_FIELDS = (
    *("data.data_dir", "data.num_threads", "data.prefetch_size"),
    *("mesh.", "train.", "eval.", "seed", "init_", "weight"),
)
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
SECTION = re.compile(r"^tasks\.[^.]+\.")  # of one task; its fields are named as those of the whole


def load_config(workdir: pathlib.Path) -> ConfigDict:
    """Read the config that a run was trained with.

    Raises:
        UserError: there is no run, or its config is damaged.
    """
    path = workdir / "config.json"
    if not path.is_file():
        raise UserError(f"no run in {str(workdir)!r}: it has no config.json; train first")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of the decoder or of the encoding
        raise UserError(f"{path} is not JSON ({error}); train in another --workdir") from None
    found = content.pop("format", 1) if isinstance(content, dict) else None
    if found not in (2, 3, FORMAT):
        raise UserError(
            f"{path} has format {found}, expected {FORMAT}: another version wrote it; train in "
            "another --workdir"
        )
    return config_of(content)


def config_of(content: Any) -> ConfigDict:
    """Make a config of what JSON holds, in which lists stand for tuples.

    Fields that it lacks since they came later have the values that are what was done before.

    Raises:
        UserError: a section of the config is none.
    """

    def with_tuples(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: with_tuples(v) for key, v in value.items()}
        return tuple(map(with_tuples, value)) if isinstance(value, list) else value

    for section, fields in ADDED_FIELDS.items():
        found = content.get(section, {})
        if not isinstance(found, dict):
            raise UserError(f"a config's {section!r} is {found!r}; expected a section of fields")
        content = content | {section: fields | found}
    return ConfigDict(with_tuples(content))


def open_run(
    workdir: str | pathlib.Path, mesh: Mesh | None = None
) -> tuple[ConfigDict, Noise2Map, int, Any]:
    """Open a finished run, for use elsewhere.

    Args:
        workdir: its work folder.
        mesh: the devices that the parameters are put on; None: all there are.

    Returns:
        `(config, model, step, params)`: the best parameters, and the step that they are of.

    Raises:
        UserError: there is no run, or it has no checkpoint of its network.
    """
    path = pathlib.Path(workdir)
    config = load_config(path)
    model = create_model(config)
    step, params = restore_best(path, config, model, mesh or sharding.create_mesh())
    return config, model, step, params


def restore_best(
    workdir: pathlib.Path, config: ConfigDict, model: Noise2Map, mesh: Mesh
) -> tuple[int, Any]:
    """Restore the best parameters of a run onto every device.

    Returns:
        The step that they are of, and the tree of parameters.

    Raises:
        UserError: there are none, or they are of another architecture.
    """
    if not (workdir / "checkpoints" / "best").is_dir():  # Orbax would make it
        raise UserError(f"no checkpoint in {str(workdir / 'checkpoints')!r}; train first")
    shapes = abstract_params(model, trained_sizes(config))
    abstract = checkpoint.abstract_like(shapes, sharding.replicated(mesh))
    with contextlib.closing(checkpoint.Checkpoints(workdir / "checkpoints")) as checkpoints:
        params = checkpoints.restore_best(abstract)
        step = checkpoints.best_step()
    assert step is not None  # restoring would have failed
    return step, params


def differences(before: ConfigDict, now: ConfigDict) -> list[str]:
    """Name the fields in which two configs differ, sorted."""
    return sorted(_differences(_plain(before), _plain(now)))


def differences_in_prediction(before: ConfigDict, now: ConfigDict) -> list[str]:
    """Name the fields that differ and bear on what is predicted."""
    return [
        name
        for name in differences(before, now)
        if not SECTION.sub("", name).startswith(FREE_FIELDS)
    ]


def _plain(config: ConfigDict) -> Any:
    return json.loads(json.dumps(config.to_dict()))


def _differences(before: Any, now: Any, prefix: str = "") -> set[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        found: set[str] = set()
        for key in before.keys() | now.keys():
            found |= _differences(before.get(key), now.get(key), f"{prefix}{key}.")
        return found
    return set() if before == now else {prefix.rstrip(".")}
