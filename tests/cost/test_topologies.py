import importlib.util
import os

import pytest
from programs import needs_libtpu

from noise2map_jax.cost.accelerators import accelerator_of
from noise2map_jax.cost.topologies import topology_devices
from noise2map_jax.devices import sharding
from noise2map_jax.errors import UserError


def test_without_the_compiler_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"v5e:4x4 needs .*pip install 'noise2map_jax\[tpu\]'"):
        topology_devices("v5e:4x4")


@needs_libtpu
@pytest.mark.parametrize(
    ("name", "num", "memory"),
    [
        ("v5e:16x16", 256, 16),
        ("v6e:4x4", 16, 32),
        ("v5p:2x2x2", 8, 95),
        ("v4:2x2x2", 8, 32),  # whole chips, not their cores
        ("tpu7x:2x2x1", 8, 96),  # halves of chips
    ],
)
def test_every_generation_is_known(name, num, memory):
    before = dict(os.environ)
    devices = topology_devices(name)
    assert dict(os.environ) == before
    assert len(devices) == num
    assert accelerator_of(devices[0]).memory == memory * 2**30


@needs_libtpu
def test_parameters_are_never_split_over_slices():
    mesh = sharding.create_mesh(4, topology_devices("v5e:2x4", num_slices=2))
    assert dict(mesh.shape) == {"data": 4, "fsdp": 4}
    for row in mesh.devices:
        assert len({device.slice_index for device in row}) == 1
    with pytest.raises(UserError, match=r"fsdp is 16, .* 8 devices of each of 2 slices"):
        sharding.create_mesh(16, topology_devices("v5e:2x4", num_slices=2))


@needs_libtpu
@pytest.mark.parametrize(
    ("name", "num_slices", "fsdp"),
    [("v6e:4x4", 1, 2), ("v4:4x4x4", 1, 8), ("v5p:4x4x4", 1, 8), ("v5e:4x4", 2, 8)],
)
def test_parameters_may_be_split_over_less_than_a_side_of_the_torus(name, num_slices, fsdp):
    mesh = sharding.create_mesh(fsdp, topology_devices(name, num_slices))
    assert mesh.shape["fsdp"] == fsdp
    assert len({device.id for device in mesh.devices.flat}) == mesh.size


@needs_libtpu
@pytest.mark.parametrize("name", ["v9:2x2", "v5e:3x99", "v5e", "v5e:"])
def test_a_slice_that_cannot_be_is_named(name):
    with pytest.raises(UserError, match=f"--topology={name}"):
        topology_devices(name)
