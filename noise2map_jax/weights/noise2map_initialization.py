"""Initial parameters of Noise2Map: of a run, an export, a diffusers folder or the authors."""

import dataclasses
import pathlib
from typing import Any

from ml_collections import ConfigDict

from noise2map_jax import weights
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.experiment import Experiment
from noise2map_jax.experiment.network_choice import backbone_config, is_rival
from noise2map_jax.experiment.run import open_run
from noise2map_jax.method.tasks import get_task
from noise2map_jax.network.input_kernels import fit_inputs
from noise2map_jax.network.interface import Network
from noise2map_jax.network.model import Noise2Map, as_noise2map
from noise2map_jax.network.unet import UNetConfig
from noise2map_jax.weights.export import RUN_FILE, load_export
from noise2map_jax.weights.initial import Flat, Initial, flat, merge
from noise2map_jax.weights.place import find
from noise2map_jax.weights.single_file import is_single_file, load_single_file


@dataclasses.dataclass(frozen=True)
class Source:
    """The content of `init_from`.

    Attributes:
        name: description for people.
        tensors: tensors by their names in this package.
        unet: config of the backbone; None if the file has none.
        patch_size: of the network that it is of; None if it is not known.
    """

    name: str
    tensors: Flat
    unet: UNetConfig | None
    patch_size: int | None = None

    @property
    def tasks(self) -> list[str]:
        """The tasks that the source has projections for."""
        return sorted({k.split("_")[0] for k in self.tensors if not k.startswith("unet/")})


def initialize_noise2map(experiment: Experiment, params: Any) -> Initial:
    """Replace random parameters by those in `config.init_from`; see `initialization.initialize`.

    Tensors that the source lacks stay random, such as the convolutions around a resampling that
    the other run did not need.
    """
    config = experiment.config
    source = _read(experiment)
    _check_backbone(source, experiment)
    _check_patches(source, experiment)
    now = flat(params)
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
        fits = not config.init_input and config.model.patch_size == 1
        if fits and any(name.split(" ")[0] in _input_kernels(now) for name in wrong):
            hint += ", init_input=inflate fits the first convolution to other channels"
        raise UserError(f"init_from={config.init_from}: {'; '.join(wrong)}{hint}")
    return merge(
        now,
        new,
        experiment.mesh,
        source=source.name,
        adapted=tuple(adapted),
        warnings=_other_patches(source, config),
    )


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
    path = find(name)
    if path.is_file():
        return _read_file(experiment, path)
    if not (path / "config.json").is_file():
        raise UserError(
            f"init_from={path} is neither a finished run nor a diffusers folder (no config.json); "
            "train that run first, or start from random values with --config.init_from="
        )
    if (path / RUN_FILE).is_file():
        there, network, params = load_export(path)
        own = _noise2map(experiment, there, network)
        return Source(f"the export {path}", flat(params), own.unet, own.patch_size)
    if "_class_name" in weights.read_json(path / "config.json"):
        unet, params = weights.load_diffusers(path)
        return Source(f"the diffusers folder {path}", flat({"unet": params}), unet.config)
    there, network, step, params = open_run(path, experiment.mesh)
    own = _noise2map(experiment, there, network)
    return Source(f"the run {path}, step {step}", flat(params), own.unet, own.patch_size)


def _noise2map(experiment: Experiment, there: ConfigDict, network: Network) -> Noise2Map:
    """Return the network of a source, or raise a `UserError` if it is a rival."""
    config = experiment.config
    if is_rival(there):
        raise UserError(
            f"init_from={config.init_from} is of {there.model.name}; {config.model.name} starts"
            " from Noise2Map's backbone"
        )
    return as_noise2map(network, f"init_from={config.init_from}")


def _other_patches(source: Source, config: ConfigDict) -> tuple[str, ...]:
    """Warn of a backbone that has learnt at another scale."""
    there, here = source.patch_size, config.model.patch_size
    if there in (None, here):
        return ()
    return (f"model.patch_size was {there} there and is {here} here: pixels differ in size",)


def _read_file(experiment: Experiment, path: pathlib.Path) -> Source:
    if is_single_file(path):
        _, own, params = load_single_file(path)
        return Source(
            f"the file {experiment.config.init_from}", flat(params), own.unet, own.patch_size
        )
    if len(experiment.objectives) > 1:
        raise UserError(
            f"init_from={path}: a file without a config holds the projections of one task, but "
            f"this experiment has {', '.join(experiment.objectives)}; start from a folder, or from "
            "a file of `python -m noise2map_jax.weights file`"
        )
    (task,) = experiment.objectives
    model = as_noise2map(experiment.model, f"init_from={path}")
    params = weights.load_authors(path, model, task)
    return Source(f"the file {path}", flat(params), None)


def _check_backbone(source: Source, experiment: Experiment) -> None:
    """Raise if the source's backbone has another config; shapes alone would not show it."""
    if source.unet is None:
        return
    there, here = _shape(source.unet), _shape(backbone_config(experiment.config))
    free = ("in_channels",) if experiment.config.init_input else ()
    differing = [
        f"{k} is {there[k]}, here {here[k]}" for k in there if there[k] != here[k] and k not in free
    ]
    if differing:
        raise UserError(
            f"init_from={experiment.config.init_from} has another backbone: {'; '.join(differing)};"
            " give both the same model.unet, or begin with random values, --config.init_from="
        )


def _check_patches(source: Source, experiment: Experiment) -> None:
    """Raise if kernels that see the pixels of patches would be taken for others."""
    config = experiment.config
    here, there = config.model.patch_size, source.patch_size or 1
    if config.init_input and (here, there) != (1, 1):
        raise UserError(
            f"init_input={config.init_input} fits the first convolution to other bands, which it "
            f"cannot do with patches: model.patch_size is {here}, and {there} in "
            f"init_from={config.init_from}; leave init_input out"
        )
    if source.patch_size not in (None, here) and config.init_parts != "backbone":
        raise UserError(
            f"init_from={config.init_from} has model.patch_size={there}, here it is {here}; set "
            f"it to {there}, or leave the projections out with init_parts=backbone"
        )


def _shape(config: UNetConfig) -> dict[str, Any]:
    """Return the fields that decide what a backbone computes."""
    return {k: v for k, v in dataclasses.asdict(config).items() if k != "sample_size"}
