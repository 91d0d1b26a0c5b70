"""Initial parameters from a finished run, an export, a diffusers folder or the authors' weights."""

import dataclasses
import hashlib
import pathlib
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from noise2map_jax import weights
from noise2map_jax.devices.sharding import replicate
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.experiment import Experiment
from noise2map_jax.experiment.run import open_run
from noise2map_jax.method.tasks import get_task
from noise2map_jax.network.input_kernels import ADAPTATIONS, fit_inputs
from noise2map_jax.network.model import as_noise2map
from noise2map_jax.network.unet import UNetConfig
from noise2map_jax.weights.export import RUN_FILE, load_export

PARTS = ("backbone", "all")
Flat = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Initial:
    """Parameters to start from.

    Attributes:
        params: the whole tree.
        source: what was read, for people.
        drawn: names of the tensors that keep their random values.
        adapted: names of the tensors that were fitted to another number of channels.
        num_taken: number of tensors that were read.
        digest: SHA-256 over names and values of these, the same on all processes of a run.
    """

    params: Any
    source: str
    drawn: tuple[str, ...]
    adapted: tuple[str, ...]
    num_taken: int
    digest: str

    def summary(self) -> str:
        """Say in one line which tensors were read, fitted, and left random."""
        drawn = ", ".join(self.drawn) or "none"
        adapted = f"; fitted to other channels: {', '.join(self.adapted)}" if self.adapted else ""
        return (
            f"{self.num_taken} tensors from {self.source} (SHA-256 {self.digest[:12]}){adapted}; "
            f"random: {drawn}"
        )


@dataclasses.dataclass(frozen=True)
class Source:
    """The content of `init_from`.

    Attributes:
        name: description for people.
        tensors: tensors by their names in this package.
        unet: config of the backbone; None if the file has none.
    """

    name: str
    tensors: Flat
    unet: UNetConfig | None

    @property
    def tasks(self) -> list[str]:
        """The tasks that the source has projections for."""
        return sorted({k.split("_")[0] for k in self.tensors if not k.startswith("unet/")})


def initialize(experiment: Experiment, params: Any) -> Initial:
    """Replace random parameters by those in `config.init_from`.

    Tensors that the source lacks stay random, such as the convolutions around a resampling that
    the other run did not need; `Initial.drawn` names them.

    Args:
        experiment: the experiment, whose config names the source and the parts to read.
        params: the random tree of parameters.

    Returns:
        The parameters to train from.

    Raises:
        UserError: there is nothing to read, or tensors of the requested parts are left over or of
            another shape; the message names all of them.
    """
    config = experiment.config
    if config.init_parts not in PARTS:
        raise UserError(
            f"unknown init_parts {config.init_parts!r}; expected one of {', '.join(PARTS)}"
        )
    if config.init_input not in ("", *ADAPTATIONS):
        raise UserError(
            f"unknown init_input {config.init_input!r}; expected one of {', '.join(ADAPTATIONS)}, "
            "or nothing"
        )
    source = _read(experiment)
    _check_backbone(source, experiment)
    now = _flat(params)
    new = _chosen(source, experiment)
    adapted: list[str] = []
    if config.init_input:
        new |= _input_projections(source, now)
        for name in _input_kernels(new):
            if name in now and now[name].shape != new[name].shape:
                num, dates = now[name].shape[2], _num_dates(name)
                new[name] = fit_inputs(new[name], num, config.init_input, num_dates=dates)
                adapted.append(name)
    wrong = [
        f"{name} is {tuple(value.shape)}, expected {tuple(now[name].shape)}"
        for name, value in new.items()
        if name in now and now[name].shape != value.shape
    ]
    wrong += [f"{name} is left over" for name in new if name not in now]
    if wrong:
        hint = "; init_parts=backbone leaves out the projections"
        if not config.init_input and any(
            name.split(" ")[0] in _input_kernels(now) for name in wrong
        ):
            hint += ", init_input=inflate fits the first convolution to other channels"
        raise UserError(f"init_from={config.init_from}: {'; '.join(wrong)}{hint}")
    drawn = tuple(name for name in now if name not in new)
    placed = replicate(new, experiment.mesh)
    merged = traverse_util.unflatten_dict(now | placed, sep="/")
    return Initial(merged, source.name, drawn, tuple(adapted), len(new), _digest(new))


def _digest(tensors: Flat) -> str:
    """SHA-256 over the names, types and values of tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {value.dtype} {value.shape}\0".encode() + value.tobytes())
    return digest.hexdigest()


def _chosen(source: Source, experiment: Experiment) -> Flat:
    """Return the tensors of the requested parts, without heads of other tasks."""
    backbone = {k: v for k, v in source.tensors.items() if k.startswith("unet/")}
    if experiment.config.init_parts == "backbone":
        return backbone
    tasks = list(experiment.objectives)
    if source.tasks and not set(tasks) & set(source.tasks):
        raise UserError(
            f"init_from={experiment.config.init_from} has projections for task "
            f"{', '.join(source.tasks)}, but this experiment is {', '.join(tasks)}; "
            "init_parts=backbone leaves out the projections"
        )
    heads = {k: v for k, v in source.tensors.items() if k.split("_")[0] in tasks}
    return backbone | heads


def _input_projections(source: Source, now: Flat) -> Flat:
    """Return each task's input projection, from the source's same task or else from another one.

    The other task must have as many dates: the projection of one image, repeated for both dates of
    a pair, would see only their sum and nothing of the change.
    """
    found: Flat = {}
    for name in now:
        task, _, rest = name.partition("_")
        if rest not in ("input_conv/kernel", "input_conv/bias"):
            continue
        dates = len(get_task(task).image_keys)
        alike = [other for other in source.tasks if len(get_task(other).image_keys) == dates]
        for other in (task, *alike):
            if f"{other}_{rest}" in source.tensors:
                found[name] = source.tensors[f"{other}_{rest}"]
                break
    return found


def _input_kernels(tensors: Flat) -> list[str]:
    """Return the names of kernels that see bands: input projections and the backbone's first."""
    return [k for k in tensors if k.endswith("_input_conv/kernel") or k == "unet/conv_in/kernel"]


def _num_dates(name: str) -> int:
    """Return the number of images that are stacked in the input of a kernel."""
    return 1 if name.startswith("unet/") else len(get_task(name.split("_")[0]).image_keys)


def _read(experiment: Experiment) -> Source:
    """Read `init_from`, whatever kind of source it is."""
    name = experiment.config.init_from
    path = weights.fetch(name) if name.startswith("hf:") else pathlib.Path(name)
    if path.is_file():
        return _read_file(experiment, path)
    if not (path / "config.json").is_file():
        raise UserError(
            f"init_from={path} is neither a finished run nor a diffusers folder (no config.json); "
            "train that run first, or start from random values with --config.init_from="
        )
    if (path / RUN_FILE).is_file():
        _, model, params = load_export(path)
        return Source(f"the export {path}", _flat(params), model.unet)
    if "_class_name" in weights.read_json(path / "config.json"):
        unet, params = weights.load_diffusers(path)
        return Source(f"the diffusers folder {path}", _flat({"unet": params}), unet.config)
    _, network, step, params = open_run(path, experiment.mesh)
    backbone = as_noise2map(network, f"init_from={path}").unet
    return Source(f"the run {path}, step {step}", _flat(params), backbone)


def _read_file(experiment: Experiment, path: pathlib.Path) -> Source:
    if len(experiment.objectives) > 1:
        raise UserError(
            f"init_from={path}: a file holds the projections of one task, but this experiment has "
            f"{', '.join(experiment.objectives)}; start from a folder"
        )
    (task,) = experiment.objectives
    model = as_noise2map(experiment.model, f"init_from={path}")
    params = weights.load_authors(path, model, task)
    return Source(f"the file {path}", _flat(params), None)


def _check_backbone(source: Source, experiment: Experiment) -> None:
    """Raise if the source's backbone has another config; shapes alone would not show it."""
    if source.unet is None:
        return
    model = as_noise2map(experiment.model, "init_from")
    there, here = (_shape(config) for config in (source.unet, model.unet))
    free = ("in_channels",) if experiment.config.init_input else ()
    differing = [
        f"{k} is {there[k]}, here {here[k]}" for k in there if there[k] != here[k] and k not in free
    ]
    if differing:
        raise UserError(
            f"init_from={experiment.config.init_from} has another backbone: {'; '.join(differing)}"
        )


def _shape(config: UNetConfig) -> dict[str, Any]:
    """Return the fields that decide what a backbone computes."""
    return {k: v for k, v in dataclasses.asdict(config).items() if k != "sample_size"}


def _flat(tree: Any) -> Flat:
    return traverse_util.flatten_dict(tree, sep="/")
