"""The program --mode=compile."""

import json
import re

import pytest
from programs import needs_libtpu

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
    ],
)
def test_what_cannot_be_compiled_is_said_in_a_line(program, options, words):
    (line,) = program(*COMPILE, *options, expect=2).stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert words in line


def test_a_topology_is_of_compiling_only(program):
    done = program("--topology=v5e:2x2", expect=2)
    assert "--topology and --num_slices are of --mode=compile" in done.stderr


@needs_libtpu
@pytest.mark.usefixtures("effort")
@pytest.mark.parametrize(
    "topology", ["v5e:2x2", pytest.param("tpu7x:2x2x1", marks=pytest.mark.long)]
)
def test_a_step_compiles_for_chips_that_are_not_here(topology, program, tmp_path):
    done = program(*COMPILE, f"--topology={topology}", "--config.mesh.fsdp=2")
    assert "it fits" in done.stdout
    assert "float32; float32 multiplied in bfloat16 (" in done.stdout
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
