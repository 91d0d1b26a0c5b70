import importlib.resources
import re
import types

import jax
import pytest

from noise2map_jax.cost.accelerators import ACCELERATORS, accelerator_of
from noise2map_jax.cost.topologies import GPUS
from noise2map_jax.errors import UserError


@pytest.mark.parametrize("kind", [kind for kind in ACCELERATORS if kind.startswith("TPU")])
def test_matrix_units_give_the_peak_at_the_clock(kind):
    accelerator = ACCELERATORS[kind]
    units = {"TPU v4": 8, "TPU v5 lite": 4, "TPU v5": 8}.get(kind, 16)  # of 128 x 128 products
    assert accelerator.clock * units * 2 * 128**2 == pytest.approx(accelerator.flops, rel=0.01)


def test_of_a_cpu_no_limit_is_known():
    assert accelerator_of(jax.devices()[0]) is None


@pytest.mark.parametrize("gpu", GPUS)
def test_limits_of_a_gpu_are_those_of_its_description(gpu):
    text = (importlib.resources.files("noise2map_jax.cost") / "gpus" / f"{gpu}.txtpb").read_text()
    fields = dict(re.findall(r"^ *(\w+): (\S.*)$", text, re.MULTILINE))
    accelerator = ACCELERATORS[fields["device_description_str"].strip('"')]
    assert fields["name"] == fields["device_description_str"]
    assert int(fields["device_memory_size"]) == accelerator.memory
    assert int(fields["memory_bandwidth"]) == pytest.approx(accelerator.bandwidth, rel=0.05)
    # Cores x units x 2 FLOP a cycle: the peak of float32 outside the tensor cores.
    per_cycle = 2 * int(fields["core_count"]) * int(fields["fpus_per_core"])
    peak = per_cycle * float(fields["clock_rate_ghz"]) * 1e9
    assert peak == pytest.approx(accelerator.float32_flops[2], rel=0.08)


def test_the_peak_is_that_of_the_type_that_is_multiplied():
    tpu, gpu = ACCELERATORS["TPU v4"], ACCELERATORS["NVIDIA H100 80GB HBM3"]
    for accelerator in (tpu, gpu):
        assert accelerator.multiplying("bfloat16", "highest") == accelerator
    rates = [tpu.multiplying("float32", p).flops for p in ("default", "high", "highest")]
    assert rates == [275e12, 275e12 / 3, 275e12 / 6]
    rates = [gpu.multiplying("float32", p).flops for p in ("default", "high", "highest")]
    assert rates == [494.7e12, 494.7e12, 66.9e12]


H100 = types.SimpleNamespace(platform="gpu", device_kind="NVIDIA H100 80GB HBM3")


@pytest.mark.parametrize("name", ["XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"])
def test_jax_gives_arrays_a_part_of_a_gpus_memory(name, monkeypatch):
    assert accelerator_of(H100).usable == 0.75 * 84942979072
    monkeypatch.setenv(name, ".9")
    assert accelerator_of(H100).usable == 0.9 * 84942979072
    for given in ("much", "0", "1.5"):
        monkeypatch.setenv(name, given)
        with pytest.raises(UserError, match=f"{name}={given} is no fraction"):
            accelerator_of(H100)
