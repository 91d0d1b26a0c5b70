"""The program --mode=compile."""

import dataclasses
import json
import re

import pytest
from programs import CUDA_COMPILE, needs_cuda_compile, needs_libtpu

from noise2map_jax import compilation
from noise2map_jax.cost.accelerators import Accelerator
from noise2map_jax.cost.compiled_step import CompiledStep, DoesNotFit
from noise2map_jax.cost.step_cost import StepCost
from noise2map_jax.errors import UserError

COMPILE = ("--mode=compile", "--config.data.data_dir=nowhere")  # no data is needed


def test_the_step_is_compiled_for_the_devices_at_hand(program, tmp_path):
    done = program(*COMPILE, num_devices=8)
    assert "float32; float32 multiplied in float32 (model.matmul_precision=default)" in done.stdout
    for words in ("8 x cpu, data=8 x fsdp=1", "8 images, 1 a device", "all-reduce"):
        assert words in done.stdout
    content = json.loads((tmp_path / "run" / "compile" / "cpu.json").read_text())
    assert content["num_devices"] == content["images_a_step"] == 8
    assert content["flops"] > 1e6
    # Every parameter's gradient goes round the ring of eight; biases that have the same, once.
    around = 2 * 7 / 8 * content["parameters"]
    assert 0.98 * around < content["sent"]["all-reduce"] < 1.02 * around
    assert content["seconds"] == {}  # nothing is known of a CPU
    assert content["estimated_seconds"] is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--config.mesh.fsdp=3",), "mesh.fsdp is 3, which does not divide the 1 devices"),
        (("--num_slices=2",), "--num_slices=2 needs --topology"),
        (("--config.train.batch_size=0",), "a batch of 0"),
        (("--fit",), "--fit needs to know the memory of cpu; give --topology"),
    ],
)
def test_what_cannot_be_compiled_is_said_in_a_line(program, options, words):
    (line,) = program(*COMPILE, *options, expect=2).stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert words in line


def test_a_topology_is_of_compiling_only(program):
    for option in ("--topology=v5e:2x2", "--fit"):
        done = program(option, expect=2)
        assert "--topology, --num_slices and --fit are of --mode=compile" in done.stderr


@needs_libtpu
@pytest.mark.usefixtures("effort")
@pytest.mark.parametrize(
    "topology", ["v5e:2x2", pytest.param("tpu7x:2x2x1", marks=pytest.mark.long)]
)
def test_a_step_compiles_for_chips_that_are_not_here(topology, program, tmp_path):
    done = program(*COMPILE, f"--topology={topology}", "--config.mesh.fsdp=2")
    assert "it fits" in done.stdout
    assert "float32; float32 multiplied in bfloat16 (" in done.stdout
    assert re.search(r"warning +[12] image\(s\) a chip at a time", done.stdout)
    assert re.search(r"bound by (arithmetic|memory traffic|collectives): at most", done.stdout)
    (path,) = (tmp_path / "run" / "compile").iterdir()
    content = json.loads(path.read_text())
    assert 0 < content["traffic"] < content["counted_traffic"]  # some of it stays on the chip
    assert set(content["seconds"]) == {"arithmetic", "memory traffic", "collectives"}
    # The compiler expects no part to be quicker than it could be, and tells of all of them.
    assert content["estimated_seconds"] > max(content["seconds"].values())
    assert {"up_blocks_0", "down_blocks_0", "mid_block", "conv_in"} <= set(content["cycles"])
    assert "not measured" in done.stdout


@needs_libtpu
@pytest.mark.usefixtures("effort")
def test_what_does_not_fit_is_said_with_what_to_change(program):
    options = ("--config.train.batch_size=65536", "--config.model.unet.block_out_channels=64,64")
    done = program(*COMPILE, "--topology=v5e:2x2", *options, expect=2)
    line = done.stderr.strip().splitlines()[-1]
    assert "does not fit the memory of v5e:2x2: it needs" in line
    assert "train.num_microbatches" in line


@needs_cuda_compile
@pytest.mark.usefixtures("effort")
@pytest.mark.parametrize(
    "gpu", ["h100", *(pytest.param(gpu, marks=pytest.mark.long) for gpu in ("a100", "b200", "l4"))]
)
def test_a_step_compiles_for_gpus_that_are_not_here(gpu, program, tmp_path):
    options = (f"--topology={gpu}:2", "--num_slices=2", "--config.model.dtype=bfloat16")
    done = program(*COMPILE, *options, packages=[CUDA_COMPILE])
    assert f"{gpu}:2 x 2: 4 x NVIDIA {gpu.upper()}" in done.stdout
    assert "an allowance for cuDNN" in done.stdout
    assert "it fits" in done.stdout
    content = json.loads((tmp_path / "run" / "compile" / f"{gpu}_2_x_2.json").read_text())
    assert content["sent"].keys() == {"all-reduce between machines"}
    assert content["seconds"]["collectives"] == 0  # the network between machines is not known
    assert 0 < content["workspace"] < content["temporary"]
    assert content["memory"] < content["usable_memory"]
    assert content["flops"] > 1e6
    # Every parameter is read and written at least once, with the two averages of Adam.
    assert content["traffic"] > 2 * (content["parameters"] + content["optimizer"])


COST = StepCost(0, 0, 0, 0, 0, 0, 0, 0, 1e9, 1e9, None, (), {})


@pytest.fixture
def fit(monkeypatch, tmp_path, thin_data):
    """Search the batch of devices that hold `of` images each: `fit(of, refuses=...)`."""
    import thin_config

    def call(of, refuses, **options):
        limits = Accelerator(of, 1e12, 1e12, 1e12)

        def compiled(config, mesh, name, num_slices):
            own = config.train.batch_size // mesh.size
            if refuses and own > of:
                raise DoesNotFit(name, f"it needs {own}.00G of {of}.00G")
            return CompiledStep(dataclasses.replace(COST, temporary=own), limits, 2.0)

        monkeypatch.setattr(compilation, "compile_step", compiled)
        monkeypatch.setattr(compilation, "accelerator_of", lambda device: limits)
        config = thin_config.get_config()
        config.train.batch_size = 8
        for key, value in options.items():
            config.train[key] = value
        compilation.compile_config(config, tmp_path, fit=True)
        return json.loads((tmp_path / "compile" / "cpu.json").read_text())

    return call


@pytest.mark.parametrize("refuses", [True, False])  # compilers for TPUs raise, those for GPUs not
def test_the_largest_batch_is_searched_and_every_attempt_is_told(refuses, fit, capsys):
    content = fit(of=11, refuses=refuses)
    assert content["images_a_step"] == 88  # of eight devices
    lines = capsys.readouterr().out.splitlines()
    attempts = [line.split()[1:3] for line in lines if line.startswith("batch ") and ":" in line]
    assert attempts == [
        *(["8", "fits:"], ["16", "fits:"], ["32", "fits:"], ["64", "fits:"]),
        *(["128", "does"], ["96", "does"], ["80", "fits:"], ["88", "fits:"]),
    ]
    assert "largest     a batch of 88; 96 does not fit" in lines
    assert "batch       88 images a task, 11 a device, 1 micro-batch(es)" in lines


def test_micro_batches_divide_the_largest_batch(fit):
    assert fit(of=11, refuses=True, num_microbatches=4)["images_a_step"] == 64


def test_a_network_that_is_too_large_for_any_batch_is_said_to_be(fit):
    with pytest.raises(UserError, match="not even a batch of 8 fits cpu; use"):
        fit(of=0, refuses=True)
    with pytest.raises(UserError, match="0 micro-batches"):
        fit(of=9, refuses=True, num_microbatches=0)
