import importlib.util
import json
import os
import subprocess
import sys

import pytest
from programs import CUDA_COMPILE, ROOT, environment, needs_cuda_compile, needs_libtpu

from noise2map_jax.cost.accelerators import accelerator_of
from noise2map_jax.cost.topologies import topology_devices
from noise2map_jax.devices import sharding
from noise2map_jax.errors import UserError


def test_without_the_compiler_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"v5e:4x4 needs .*pip install 'noise2map_jax\[tpu\]'"):
        topology_devices("v5e:4x4")
    extra = r"h100:8 needs .*pip install 'noise2map_jax\[cuda-compile\]'"
    with pytest.raises(UserError, match=extra):
        topology_devices("h100:8")


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


@pytest.mark.parametrize("name", ["h100", "h100:", "h100:0", "a100:-8", "b200:4x4", "l4:73"])
def test_a_number_of_gpus_that_cannot_be_is_named(name):
    with pytest.raises(UserError, match=rf"--topology={name}.*h100:8"):
        topology_devices(name)


DESCRIBE = """
import json
from noise2map_jax import main
from noise2map_jax.cost.accelerators import ACCELERATORS
from noise2map_jax.cost.topologies import GPUS, topology_devices, topology_mesh
from noise2map_jax.errors import UserError

def loaded():
    text = open("/proc/self/maps").read()
    return [name for name in ("libtpu", "xla_cuda_plugin") if name in text]

before = loaded()
kinds = [{device.device_kind for device in topology_devices(f"{gpu}:4")} for gpu in GPUS]
mesh = topology_mesh("h100:4", num_slices=2, fsdp=4)
try:
    topology_mesh("h100:4", num_slices=2, fsdp=8)
except UserError as error:
    refused = str(error)
print(json.dumps({
    "before": before, "after": loaded(), "refused": refused,
    "known": [len(kind) == 1 and kind <= set(ACCELERATORS) for kind in kinds],
    "machines": [[device.process_index for device in row] for row in mesh.devices],
}))
"""


@needs_cuda_compile
def test_gpus_are_described_by_a_library_that_is_loaded_when_it_is_asked_for(cache):
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE],
        env=environment(cache, packages=[CUDA_COMPILE]),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["before"], found["after"]) == ([], ["xla_cuda_plugin"])  # and libtpu never
    assert found["known"] == [True] * 5
    assert found["machines"] == [[0] * 4, [1] * 4]  # parameters are split within a machine
    assert "fsdp is 8, which does not divide the 4 devices of each of 2 slices" in found["refused"]
