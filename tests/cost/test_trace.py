"""Traces of devices that are not here, written as they are said to be, and one of a CPU."""

import jax
import jax.numpy as jnp
import pytest
from jax.profiler import ProfileData

from noise2map_jax.cost.trace import Operation, read_operations


def event(number, begin, length, **stats):
    """An event, in nanoseconds; names of statistics are numbered by `plane`."""
    numbers = {"hlo_op": 1, "hlo_module": 2, "device_ordinal": 3, "_p": 4, "_c": 5}
    written = "".join(
        f"stats {{ metadata_id: {numbers[name]} "
        + (f'str_value: "{value}"' if isinstance(value, str) else f"int64_value: {value}")
        + " } "
        for name, value in stats.items()
    )
    times = f"offset_ps: {1000 * begin} duration_ps: {1000 * length}"
    return f"events {{ metadata_id: {number} {times} {written}}}"


def plane(name, names, **lines):
    stats = ("hlo_op", "hlo_module", "device_ordinal", "_p", "_c")
    parts = [f'lines {{ name: "{line.replace("_", " ")}" {e} }}' for line, e in lines.items()]
    for kind, known in (("event", names), ("stat", stats)):
        parts += [
            f'{kind}_metadata {{ key: {i} value {{ id: {i} name: "{n}" }} }}'
            for i, n in enumerate(known, 1)
        ]
    return f'planes {{ name: "{name}" {" ".join(parts)} }}'


@pytest.fixture
def read(tmp_path):
    def call(*planes):
        path = tmp_path / "host.xplane.pb"
        path.write_bytes(ProfileData.text_proto_to_serialized_xspace(" ".join(planes)))
        return read_operations(path)

    return call


def test_of_gpus_the_streams_of_the_first(read):
    kernel = event(1, 5, 2, hlo_op="fusion.1", hlo_module="jit_f")
    other = event(1, 9, 2, hlo_op="fusion.2", hlo_module="jit_f")
    found = read(
        plane("/host:CPU", ["x"], python=event(1, 0, 9, hlo_op="x", device_ordinal=0)),
        plane("/device:GPU:1", ["kernel"], Stream_1=other),
        plane("/device:GPU:0", ["kernel"], Stream_1=kernel, XLA_Modules=event(1, 0, 99)),
    )
    assert found == [Operation("fusion.1", "jit_f", 5, 7)]


def test_of_tpus_the_line_of_operations(read):
    text = "%fusion.3 = f32[8]{0} fusion(%x), kind=kLoop"
    found = read(plane("/device:TPU:0", [text], XLA_Ops=event(1, 4, 3), Steps=event(1, 0, 9)))
    assert found == [Operation("fusion.3", "", 4, 7)]


def test_an_operation_of_a_cpu_lasts_until_its_end_is_told(read):
    begun = {"hlo_module": "jit_f", "device_ordinal": 2}
    lines = {
        "one": event(1, 0, 3, hlo_op="conv", _p=7, **begun) + event(2, 8, 1, _c=9),
        "two": event(2, 20, 1, _c=7) + event(1, 5, 3, hlo_op="conv", _p=9, **begun),
        "three": event(1, 0, 1, hlo_op="conv", _p=1, hlo_module="jit_f", device_ordinal=3),
    }
    assert read(plane("/host:CPU", ["conv", "end: conv"], **lines)) == [
        Operation("conv", "jit_f", 0, 20),
        Operation("conv", "jit_f", 5, 8),
    ]


def test_a_trace_without_a_device_has_none(read):
    assert read(plane("/host:metadata", ["x"])) == []


def test_a_trace_of_this_jax_names_the_instructions_of_the_program(tmp_path):
    step = jax.jit(lambda x: jnp.sin(x @ x).sum())
    x = jnp.ones((64, 64))
    compiled = step.lower(x).compile()
    step(x).block_until_ready()
    with jax.profiler.trace(str(tmp_path)):
        step(x).block_until_ready()
    (path,) = tmp_path.glob("plugins/profile/*/*.xplane.pb")
    own = [o for o in read_operations(path) if o.program == "jit__lambda"]
    assert own
    assert all(f"%{o.name} = " in compiled.as_text() for o in own)
    assert all(o.end >= o.begin for o in own)
