"""The scaling of an experiment's sensor values, from its config or from its data's manifest."""

from collections.abc import Mapping

from ml_collections import ConfigDict

from noise2map_jax.data.dataset import Dataset
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.task_configs import task_configs
from noise2map_jax.method.scaling import ValueRange

SCALINGS = ("value_range", "manifest")

BandRanges = tuple[tuple[float, float], ...]  # (low, high) of each band


def resolve_scaling(
    config: ConfigDict, datasets: Mapping[str, Dataset], trained: ConfigDict | None = None
) -> ConfigDict:
    """Fill in `data.band_ranges` from the manifests where `data.scaling` is `manifest`.

    The run's config keeps the numbers. So prediction needs no dataset, and a trained network sees
    the same scaling if its dataset is built anew or it is evaluated on another one.

    Args:
        config: an experiment.
        datasets: the datasets, by task.
        trained: the config at the start of the run, whose numbers take precedence.

    Returns:
        A completed copy of `config`.

    Raises:
        UserError: `data.scaling` is unknown, or a manifest has no usable band ranges.
    """
    config = keep_scaling(config, trained) if trained else config.copy_and_resolve_references()
    for name, dataset in datasets.items():
        view = task_configs(config)[name]
        if view.data.scaling not in SCALINGS:
            raise UserError(
                f"unknown data.scaling {view.data.scaling!r}; expected {' or '.join(SCALINGS)}"
            )
        if view.data.scaling == "manifest" and not view.data.band_ranges:
            _set_band_ranges(config, name, dataset.band_ranges())
    return config


def keep_scaling(config: ConfigDict, trained: ConfigDict) -> ConfigDict:
    """Fill in `data.band_ranges` from the start of a run.

    Args:
        config: an experiment; numbers that it has already stay.
        trained: the config of the run.

    Returns:
        A completed copy of `config`.
    """
    config = config.copy_and_resolve_references()
    before = task_configs(trained)
    for name, view in task_configs(config).items():
        if name in before and view.data.scaling == "manifest" and not view.data.band_ranges:
            _set_band_ranges(config, name, before[name].data.band_ranges)
    return config


def _set_band_ranges(config: ConfigDict, task: str, ranges: BandRanges) -> None:
    data = config.tasks[task].data if config.tasks else config.data
    data.band_ranges = ranges


def value_range(config: ConfigDict) -> ValueRange:
    """Return the sensor values that become -1 and 1: numbers, or one a band.

    Raises:
        UserError: a range is empty, or the number of ranges is not that of the bands.
    """
    data = config.data
    if data.band_ranges:
        if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in data.band_ranges):
            raise UserError(f"data.band_ranges is {data.band_ranges}; expected pairs (low, high)")
        lows = tuple(float(low) for low, _ in data.band_ranges)
        highs = tuple(float(high) for _, high in data.band_ranges)
        if len(lows) != data.num_bands or not all(a < b for a, b in data.band_ranges):
            raise UserError(
                f"data.band_ranges is {data.band_ranges}; expected {data.num_bands} pairs "
                "(low, high) with low < high, one a band"
            )
        return lows, highs
    if len(data.value_range) != 2:
        raise UserError(f"value_range is {data.value_range}; expected two numbers, low and high")
    low, high = data.value_range
    if not low < high:
        raise UserError(f"value_range is {data.value_range}; expected low < high")
    if data.dtype == "uint16" and high <= 255:
        raise UserError(
            f"data.value_range is {data.value_range} for uint16 images, which would be clipped to "
            "white; set it to the range of the sensor, such as 0.0,10000.0, or "
            "data.scaling=manifest"
        )
    return low, high
