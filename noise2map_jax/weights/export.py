"""Export of a finished run to a folder to publish: for diffusers, for PyTorch, for `init_from`.

config.json, diffusion_pytorch_model.safetensors    the backbone, as diffusers saves it
noise2map_<task>.safetensors                        backbone and projections, authors' names
noise2map.json                                      the run's config, step and tasks
README.md                                           the model card
"""

import dataclasses
import json
import os
import pathlib
from typing import Any

from flax import traverse_util
from ml_collections import ConfigDict

from noise2map_jax import strict_json
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.experiment.run_config import config_of
from noise2map_jax.network.model import Noise2Map, as_noise2map
from noise2map_jax.weights.authors import load_authors, to_authors
from noise2map_jax.weights.card import model_card
from noise2map_jax.weights.config_file import read_json, write_text
from noise2map_jax.weights.diffusers import check_shard_size, load_diffusers, save_diffusers
from noise2map_jax.weights.finished_run import FinishedRun, read_run
from noise2map_jax.weights.safetensors_file import write_safetensors

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
    folder = pathlib.Path(output)
    _check_output(folder)
    check_shard_size(max_shard_size)
    run = read_run(pathlib.Path(workdir))
    model = as_noise2map(run.model, "this export")
    config = portable(run.config)
    heads = [h.task for h in run.model.heads if f"{h.task}_output_conv" in run.params]

    folder.mkdir(parents=True, exist_ok=True)
    # RUN_FILE has no config until the export is complete.
    write_text(folder / RUN_FILE, strict_json.dumps({"format": FORMAT}) + "\n")
    unet = dataclasses.replace(model.unet, sample_size=run.sample_size)
    save_diffusers(folder, unet, run.params["unet"], max_shard_size=max_shard_size)
    for path in folder.glob("noise2map_*.safetensors"):
        path.unlink()
    for task in heads:
        write_safetensors(folder / head_file(task), to_authors(run.params, task))
    write_text(folder / "README.md", model_card(run, _files(folder, run, heads), config))
    content = {"format": FORMAT, "step": run.step, "tasks": heads, "config": config}
    write_text(folder / RUN_FILE, strict_json.dumps(content, indent=2) + "\n")
    return sorted(path for path in folder.iterdir() if path.is_file())


def load_export(
    folder: str | os.PathLike[str],
) -> tuple[ConfigDict, Noise2Map, dict[str, Any]]:
    """Load a whole export: backbone and projections.

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
    config, tasks = config_of(content["config"]), content.get("tasks")
    try:
        model = as_noise2map(create_model(config), "this export")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}: not a config of this version ({error}); export again") from None
    if not isinstance(tasks, list) or not {*tasks} <= {head.task for head in model.heads}:
        raise UserError(f"{file}: tasks is {tasks!r}, but its config lacks them; export again")
    _, unet = load_diffusers(path)
    params: dict[str, Any] = {"unet": unet}
    for task in tasks:
        read = load_authors(path / head_file(task), model, task)
        params |= {name: value for name, value in read.items() if name != "unet"}
    return config, model, params


def head_file(task: str) -> str:
    """Return the name of the file with a task's full model."""
    return f"noise2map_{task}.safetensors"


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


def _files(folder: pathlib.Path, run: FinishedRun, heads: list[str]) -> dict[str, str]:
    """Describe each file for the card."""
    weights = sorted(path.name for path in folder.glob("diffusion_pytorch_model*"))
    return {
        "config.json": "the backbone's shape, as diffusers writes it",
        **{name: "the backbone (float32)" for name in weights},
        **{
            head_file(task): f"the full model for `{task}`, with the names of the authors' code"
            for task in heads
        },
        RUN_FILE: "config and step of the run",
    }
