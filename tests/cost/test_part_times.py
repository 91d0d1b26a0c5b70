import hypothesis
import hypothesis.strategies as st
import pytest

from noise2map_jax.cost.network_parts import NOT_ATTRIBUTED, Part
from noise2map_jax.cost.part_times import IDLE, OTHER_PROGRAMS, part_times
from noise2map_jax.cost.program_text import parse
from noise2map_jax.cost.trace import Operation


def made(source):
    return f', metadata={{op_name="jit(f)/{source}"}}'


PROGRAM = parse(f"""HloModule jit_f

ENTRY %main (x: f32[8]) -> f32[8] {{
  %x = f32[8]{{0}} parameter(0)
  %one = f32[8]{{0}} add(%x, %x){made("jvp(Noise2Map)/unet/conv_in/add")}
  %loop = f32[8]{{0}} while(%one), condition=%c, body=%b{made("jvp(Noise2Map)/unet/mid_block/add")}
  ROOT %two = f32[8]{{0}} add(%loop, %loop){made("optimizer/add")}
}}
""")
ONE, TWO = Part("conv_in", "forward"), Part("optimizer")


def ran(name, begin, end, program="jit_f"):
    return Operation(name, program, begin, end)


def test_time_is_shared_by_what_runs_at_once():
    operations = [
        ran("loop", 0, 100),  # as long as what runs in it, which alone counts
        ran("two", 10, 50),
        ran("one", 0, 30),  # 10 alone, then 20 with `two`
        ran("one", 40, 45, program="jit_other"),
        ran("unheard_of", 60, 61),
        ran("two", 70, 72, program=""),
    ]
    assert part_times(operations, PROGRAM, 100) == {
        Part(IDLE): pytest.approx(100 - 53),
        ONE: pytest.approx(10 + 10),
        TWO: pytest.approx(10 + 10 + 2.5 + 5 + 2),
        Part(OTHER_PROGRAMS): pytest.approx(2.5),
        Part(NOT_ATTRIBUTED): pytest.approx(1),
    }


SPANS = st.tuples(
    st.sampled_from(["one", "two", "unheard_of"]), st.integers(0, 90), st.integers(0, 10)
)


@hypothesis.given(st.lists(SPANS, max_size=20))
def test_the_parts_add_up_to_the_whole_and_no_moment_counts_twice(spans):
    operations = [ran(name, begin, begin + length) for name, begin, length in spans]
    times = part_times(operations, PROGRAM, 100)
    assert sum(times.values()) == pytest.approx(100)
    busy = {moment for o in operations for moment in range(o.begin, o.end)}
    assert times[Part(IDLE)] == pytest.approx(100 - len(busy))
