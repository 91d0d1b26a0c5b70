import jax
import pytest
from programs import needs_libtpu

from configs import demo_ss
from noise2map_jax.cost.abstract_step import create_abstract_step
from noise2map_jax.cost.program_text import parse
from noise2map_jax.cost.topologies import topology_devices
from noise2map_jax.cost.traffic import memory_traffic
from noise2map_jax.devices import compiler_options as module
from noise2map_jax.devices import execution
from noise2map_jax.devices.compiler_options import compiler_options
from noise2map_jax.devices.sharding import create_mesh


@pytest.fixture(autouse=True)
def _forget():
    yield
    module._known.cache_clear()


def test_cpus_are_told_nothing():
    assert compiler_options(jax.devices()) is None


@needs_libtpu
def test_few_images_a_chip_cost_no_copies_of_whole_activations():
    devices = topology_devices("v5e:2x2")
    place = jax.sharding.SingleDeviceSharding(devices[0])
    images = jax.ShapeDtypeStruct((4, 256, 256, 128), jax.numpy.bfloat16, sharding=place)
    kernel = jax.ShapeDtypeStruct((3, 3, 128, 128), jax.numpy.bfloat16, sharding=place)

    def convolve(images, kernel):
        for _ in range(2):
            images = jax.lax.conv_general_dilated(
                jax.nn.silu(images),
                kernel,
                (1, 1),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
        return images

    def traffic(options):
        compiled = jax.jit(convolve, compiler_options=options).lower(images, kernel).compile()
        return memory_traffic(parse(compiled.as_text()))

    options = compiler_options(devices)
    assert options
    # Each convolution reads and writes the images once.
    least = 4 * 4 * 256 * 256 * 128 * 2
    assert traffic(options) < 1.1 * least
    # So many copies are not of the effort of compiling, which takes ten times as long in full.
    assert traffic({"exec_time_optimization_effort": -1.0}) > 2 * least


@needs_libtpu
def test_what_a_compiler_does_not_know_is_left_out_with_a_warning(monkeypatch):
    monkeypatch.setitem(module._OF_TPUS, "xla_tpu_of_another_version", True)
    devices = topology_devices("v5e:2x2")
    with pytest.warns(
        UserWarning, match="does not know .* or xla_tpu_of_another_version .*will be slow"
    ):
        assert compiler_options(devices) is None


def test_training_steps_are_compiled_with_them(monkeypatch):
    mesh, given = create_mesh(), []

    def unknown(devices):
        given.extend(devices)
        return {"xla_of_no_version": True}

    monkeypatch.setattr(execution, "compiler_options", unknown)
    config = demo_ss.get_config()
    config.model.unet.block_out_channels = (32, 32)
    step = create_abstract_step(config, mesh)
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"No such compile option.*xla_of_no"):
        step.step.lower(*step.arguments).compile()
    assert given == list(mesh.devices.flat)
