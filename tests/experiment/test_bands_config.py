"""A run keeps which bands its dataset was built of."""

import types

import multitask_config
import pytest
import thin_config

from noise2map_jax.errors import UserError
from noise2map_jax.experiment.bands_config import resolve_bands


def dataset(**options):
    return types.SimpleNamespace(name="mine", manifest={"options": options})


def test_bands_come_from_the_manifest():
    config = thin_config.get_config()
    found = resolve_bands(config, {"ss": dataset(bands=[3, 2, 1], alpha="band", nodata=0)})
    assert (found.data.bands, found.data.alpha, found.data.nodata) == ((3, 2, 1), "band", 0)
    assert (config.data.bands, config.data.alpha, config.data.nodata) == ((), "auto", -1)
    found = resolve_bands(config, {"ss": types.SimpleNamespace(name="old", manifest={})})
    assert (found.data.bands, found.data.alpha, found.data.nodata) == ((), "auto", -1)


def test_each_task_has_its_own():
    found = resolve_bands(
        multitask_config.get_config(), {"ss": dataset(bands=[1]), "cd": dataset(bands=[2])}
    )
    assert (found.tasks.ss.data.bands, found.tasks.cd.data.bands) == ((1,), (2,))


def test_a_trained_network_keeps_its_bands():
    config = thin_config.get_config()
    trained = resolve_bands(config, {"ss": dataset(bands=[3, 2, 1])})
    assert resolve_bands(config, {"ss": dataset()}, trained).data.bands == (3, 2, 1)


@pytest.mark.parametrize(
    ("field", "value"), [("bands", (1, 2, 3)), ("alpha", "mask"), ("nodata", 7)]
)
def test_other_bands_than_those_of_the_dataset_are_refused(field, value):
    config = thin_config.get_config()
    config.data[field] = value
    with pytest.raises(UserError, match=f"data.{field} is .*, but dataset 'mine' was built with"):
        resolve_bands(config, {"ss": dataset(bands=[3, 2, 1])})
