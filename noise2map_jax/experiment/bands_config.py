"""Which bands of image files an experiment's records were made of: maps read images alike."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from noise2map_jax.data.dataset import Dataset
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.task_configs import task_configs

_NOT_GIVEN: dict[str, Any] = {"bands": (), "alpha": "auto", "nodata": -1}


def resolve_bands(
    config: ConfigDict, datasets: Mapping[str, Dataset], trained: ConfigDict | None = None
) -> ConfigDict:
    """Fill in `data.bands`, `data.alpha` and `data.nodata` from the manifests: the run keeps them.

    Args:
        config: an experiment.
        datasets: the datasets, by task.
        trained: the config at the start of the run, whose values take precedence: a network does
            not change what it was trained on.

    Returns:
        A completed copy of `config`.

    Raises:
        UserError: the config asks for other bands than the dataset was built of.
    """
    config = config.copy_and_resolve_references()
    before = task_configs(trained) if trained else {}
    for name, dataset in datasets.items():
        options = dataset.manifest.get("options", {})
        data = config.tasks[name].data if config.tasks else config.data
        for field, not_given in _NOT_GIVEN.items():
            built = before[name].data[field] if name in before else options.get(field, not_given)
            built = tuple(built) if isinstance(built, list) else built
            if data[field] not in (built, not_given):
                raise UserError(
                    f"data.{field} is {data[field]!r}, but dataset {dataset.name!r} was built with"
                    f" {built!r}; build it again with --{field}, or leave the field out"
                )
            data[field] = built
    return config
