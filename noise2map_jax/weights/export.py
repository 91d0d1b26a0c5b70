"""Export of a finished run to a folder to publish: for PyTorch, for `init_from`, for `load`.

The network's files    see `noise2map_files` and `rival_files`
noise2map.json         the run's config, step and tasks
README.md              the model card
"""

import json
import os
import pathlib
from typing import Any

from flax import traverse_util
from ml_collections import ConfigDict

from noise2map_jax import strict_json
from noise2map_jax.buckets.address import local_path
from noise2map_jax.buckets.copies import local
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.config_json import config_of
from noise2map_jax.experiment.network_choice import create_model, is_rival
from noise2map_jax.network.interface import Network
from noise2map_jax.weights.card import model_card
from noise2map_jax.weights.config_file import read_json, write_text
from noise2map_jax.weights.diffusers import check_shard_size
from noise2map_jax.weights.finished_run import read_run
from noise2map_jax.weights.hub import FILES
from noise2map_jax.weights.layout import Layout
from noise2map_jax.weights.noise2map_files import NOISE2MAP
from noise2map_jax.weights.rival_files import RIVAL

RUN_FILE = "noise2map.json"
FORMAT = 1  # format of RUN_FILE


def export(
    workdir: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    max_shard_size: int | None = None,
) -> list[pathlib.Path]:
    """Write the best parameters of a finished run as a folder to publish.

    Args:
        workdir: the run's work folder.
        output: the folder to write: new, empty, or an earlier export, which is replaced.
        max_shard_size: bytes above which the backbone is split into several files; None = one.

    Returns:
        The files that were written.

    Raises:
        UserError: there is no finished run, or the folder holds something else.
    """
    folder = local_path(os.fspath(output), "--output")
    _check_output(folder)
    check_shard_size(max_shard_size)
    run = read_run(local(os.fspath(workdir)))
    layout = layout_of(run.config)
    if max_shard_size is not None and not layout.splits:
        raise UserError(
            f"max_shard_size is {max_shard_size:,} bytes, but {run.config.model.name} is exported "
            "as one file; leave it out"
        )
    config = portable(run.config)

    folder.mkdir(parents=True, exist_ok=True)
    # RUN_FILE has no config until the export is complete.
    write_text(folder / RUN_FILE, strict_json.dumps({"format": FORMAT}) + "\n")
    for path in [path for name in FILES if name != RUN_FILE for path in folder.glob(name)]:
        path.unlink()
    tasks, files = layout.write(folder, run, max_shard_size)
    files[RUN_FILE] = "config and step of the run"
    write_text(folder / "README.md", model_card(run, layout.about(run), files, config))
    content = {"format": FORMAT, "step": run.step, "tasks": tasks, "config": config}
    write_text(folder / RUN_FILE, strict_json.dumps(content, indent=2) + "\n")
    return sorted(path for path in folder.iterdir() if path.is_file())


def load_export(
    folder: str | os.PathLike[str],
) -> tuple[ConfigDict, Network, dict[str, Any]]:
    """Load a whole export.

    Args:
        folder: a folder that `export` wrote.

    Returns:
        `(config, model, params)`: the run's config, its network, and the whole tree, float32.

    Raises:
        UserError: a file is missing or damaged, or tensors do not fit the config.
    """
    path = pathlib.Path(folder)
    file = path / RUN_FILE
    if not file.is_file():
        raise UserError(f"{path}: not an export of a run: it has no {RUN_FILE}; see load_diffusers")
    content = read_json(file)
    if content.get("format") != FORMAT or not isinstance(content.get("config"), dict):
        raise UserError(
            f"{file}: format is {content.get('format')!r}, expected {FORMAT} and a config: another "
            "version wrote the file, or it is incomplete; export the run again"
        )
    config, tasks = config_of(content["config"], file), content.get("tasks")
    try:
        model = create_model(config)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}: not a config of this version ({error}); export again") from None
    if not isinstance(tasks, list) or not {*tasks} <= {head.task for head in model.heads}:
        raise UserError(f"{file}: tasks is {tasks!r}, but its config lacks them; export again")
    return config, model, layout_of(config).read(path, config, model, tasks)


def layout_of(config: ConfigDict) -> Layout:
    """Return how the network that a config names is laid out in files."""
    return RIVAL if is_rival(config) else NOISE2MAP


def portable(config: ConfigDict) -> dict[str, Any]:
    """Return a config in its JSON form, without absolute paths, which hold on one machine only.

    Args:
        config: the config.

    Returns:
        The config, with only the last part of each absolute path.
    """
    flat = traverse_util.flatten_dict(
        json.loads(strict_json.dumps(config.to_dict())), keep_empty_nodes=True
    )
    for key, value in flat.items():
        if isinstance(value, str) and pathlib.PurePath(value).is_absolute():
            flat[key] = pathlib.PurePath(value).name
    return traverse_util.unflatten_dict(flat)


def _check_output(folder: pathlib.Path) -> None:
    """Raise if a folder holds other files, such as the run itself."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output {str(folder)!r} is not a folder; choose another name")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / RUN_FILE).is_file():
        raise UserError(
            f"output {str(folder)!r} holds other files, but no export ({RUN_FILE}); choose a new "
            "or empty folder"
        )
