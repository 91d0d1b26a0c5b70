"""Initial values from elsewhere: a finished run, or a diffusers folder."""

import dataclasses
import pathlib
from typing import Any

import jax
from flax import traverse_util

from noise2map_jax import weights
from noise2map_jax.errors import UserError
from noise2map_jax.experiment import Experiment, create_model
from noise2map_jax.run import load_config, restore_best
from noise2map_jax.sharding import replicate
from noise2map_jax.unet import UNetConfig

PARTS = ("backbone", "all")


@dataclasses.dataclass(frozen=True)
class Initial:
    """Parameters to start from.

    Attributes:
        params: the whole tree.
        source: what was read, in words.
        drawn: names of the tensors that keep their random values.
        num_taken: number of tensors that were read.
    """

    params: Any
    source: str
    drawn: tuple[str, ...]
    num_taken: int

    def summary(self) -> str:
        """Say what was read and what was not."""
        drawn = ", ".join(self.drawn) or "none"
        return f"{self.num_taken} tensors from {self.source}; random: {drawn}"


def initialize(experiment: Experiment, params: Any) -> Initial:
    """Replace random parameters by those that `config.init_from` names.

    Args:
        experiment: its config says what is read and which parts of it.
        params: the tree as drawn at random.

    Returns:
        The parameters to train from.

    Raises:
        UserError: there is nothing to read, or tensors of the parts asked for are left over or of
            another shape; each of them is named. Those that are missing stay random, such as the
            convolutions around a resampling that the other run did not need, and are named, too.
    """
    config = experiment.config
    if config.init_parts not in PARTS:
        raise UserError(
            f"unknown init_parts {config.init_parts!r}; expected one of {', '.join(PARTS)}"
        )
    folder = pathlib.Path(config.init_from)
    read, unet, source = _read(experiment, folder)
    if config.init_parts == "backbone":
        read = {"unet": read["unet"]}
    model = experiment.problem.model
    there, here = (_shape(config) for config in (unet, model.unet))
    differing = [f"{k} is {there[k]}, here {here[k]}" for k in there if there[k] != here[k]]
    if differing:
        raise UserError(f"init_from={folder}: another backbone: {'; '.join(differing)}")
    now, new = _flat(params), _flat(read)
    wrong = [
        f"{name} is {tuple(value.shape)}, expected {tuple(now[name].shape)}"
        for name, value in new.items()
        if name in now and now[name].shape != value.shape
    ]
    wrong += [f"{name} is left over" for name in new if name not in now]
    drawn = tuple(name for name in now if name not in new)
    if wrong:
        hint = "; init_parts=backbone leaves the projections out"
        raise UserError(f"init_from={folder}: {'; '.join(wrong)}{hint}")
    merged = traverse_util.unflatten_dict(now | new, sep="/")
    return Initial(merged, source, drawn, len(new))


def _read(experiment: Experiment, folder: pathlib.Path) -> tuple[dict[str, Any], UNetConfig, str]:
    """Return the parameters, their backbone's shape, and where they come from."""
    if not (folder / "config.json").is_file():
        raise UserError(
            f"init_from={folder}: neither a finished run nor a diffusers folder (no config.json); "
            "train that run first, or start from random values with --config.init_from="
        )
    if "_class_name" in weights.read_json(folder / "config.json"):
        unet, params = weights.load_diffusers(folder)
        tree = {"unet": replicate(params, experiment.mesh)}
        return tree, unet.config, f"the diffusers folder {folder}"
    config = load_config(folder)
    model = create_model(config)
    step, params = restore_best(folder, config, model, experiment.mesh)
    return params, model.unet, f"the run {folder}, step {step}"


def _shape(config: UNetConfig) -> dict[str, Any]:
    """Return the fields that decide what a backbone computes."""
    return {k: v for k, v in dataclasses.asdict(config).items() if k != "sample_size"}


def _flat(tree: Any) -> dict[str, jax.Array]:
    return traverse_util.flatten_dict(tree, sep="/")
