import jax
import jax.numpy as jnp
import pytest

from noise2map_jax.cost.program_text import parse
from noise2map_jax.cost.traffic import memory_traffic

# Arrays of 1024 and 256 bytes; S(1) is the vector memory of a TPU.
PROGRAM = """HloModule m

%fused (p.0: f32[256], p.1: f32[64], p.2: s32[]) -> (f32[64], f32[256]) {
  %p.0 = f32[256]{0} parameter(0)
  %p.1 = f32[64]{0} parameter(1)
  %p.2 = s32[] parameter(2), metadata={op_name="index"}
  %part = f32[64]{0} slice(%p.0), slice={[0:64]}
  %sum = f32[64]{0} add(%part, %p.1)
  %changed = f32[256]{0} dynamic-update-slice(%p.0, %sum, %p.2)
  ROOT %both = (f32[64]{0}, f32[256]{0}) tuple(%sum, %changed)
}

%behind (p.0: f32[256], p.1: f32[64], p.2: s32[]) -> f32[256] {
  %p.0 = f32[256]{0} parameter(0)
  %p.1 = f32[64]{0} parameter(1)
  %p.2 = s32[] parameter(2)
  %same = f32[256]{0} bitcast(%p.0)
  %changed = f32[256]{0} dynamic-update-slice(%same, %p.1, %p.2)
  ROOT %out = f32[256]{0} bitcast(%changed)
}

%as_it_is (p.0: f32[64]) -> f32[8,8] {
  %p.0 = f32[64]{0} parameter(0)
  ROOT %turned = f32[8,8]{0,1} bitcast(%p.0)
}

%nested (p.0: f32[64]) -> f32[8,8] {
  %p.0 = f32[64]{0} parameter(0)
  %inner = f32[8,8]{0,1} fusion(%p.0), kind=kLoop, calls=%as_it_is
  ROOT %twice = f32[8,8]{0,1} add(%inner, %inner)
}

%begins (p.0: f32[64]) -> (f32[64], f32[256], u32[]) {
  %p.0 = f32[64]{0} parameter(0)
  %a = f32[256]{0} all-gather(%p.0), replica_groups={{0,1,2,3}}, frontend_attributes={chain_id="7"}
  ROOT %c = (f32[64]{0}, f32[256]{0}, u32[]{:S(2)}) custom-call(%a), custom_call_target="Start"
}

%beside (p.0: f32[64], p.1: f32[256], p.2: f32[64]) -> (f32[64], f32[64], f32[256], f32[256]) {
  %p.0 = f32[64]{0} parameter(0)
  %p.1 = f32[256]{0} parameter(1)
  %p.2 = f32[64]{0} parameter(2)
  %b = f32[256]{0} all-gather(%p.0), replica_groups={{0,1,2,3}}, frontend_attributes={chain_id="7"}
  %twice = f32[64]{0} add(%p.2, %p.2)
  ROOT %all = (f32[64]{0}, f32[64]{0}, f32[256]{0}, f32[256]{0}) tuple(%twice, %p.0, %p.1, %b)
}

%ends (p.0: f32[64], p.1: f32[256]) -> f32[256] {
  %p.0 = f32[64]{0} parameter(0)
  %p.1 = f32[256]{0} parameter(1)
  %d = f32[256]{0} all-gather(%p.0), replica_groups={{0,1,2,3}}, frontend_attributes={chain_id="7"}
  ROOT %c = f32[256]{0} custom-call(%p.0, %p.1, %d), custom_call_target="Done"
}

%copies (p.0: f32[64], p.1: f32[256]) -> (f32[64], f32[256]) {
  %p.0 = f32[64]{0} parameter(0)
  %p.1 = f32[256]{0} parameter(1)
  ROOT %both = (f32[64]{0}, f32[256]{0}) tuple(%p.0, %p.1)
}

%outer (t: (s32[], f32[64])) -> (s32[], f32[64]) {
  %t = (s32[], f32[64]{0}) parameter(0)
  ROOT %inside = (s32[], f32[64]{0}) while(%t), condition=%condition, body=%body
}

%body (t: (s32[], f32[64])) -> (s32[], f32[64]) {
  %t = (s32[], f32[64]{0}) parameter(0)
  %now = f32[64]{0} get-tuple-element(%t), index=1
  %next = f32[64]{0} add(%now, %now)
  ROOT %pair = (s32[], f32[64]{0}) tuple(%i, %next)
}

%condition (t: (s32[], f32[64])) -> pred[] {
  ROOT %less = pred[]{:T(128)S(6)} constant(true)
}

ENTRY %main (x: f32[256], y: f32[64]) -> f32[256] {
  %x = f32[256]{0} parameter(0)
  %y = f32[64]{0} parameter(1)
  %i = s32[] parameter(2)
  LINE
}
"""


@pytest.mark.parametrize(
    ("line", "size"),
    [
        ("%a = f32[64]{0} add(%y, %y)", 3 * 256),
        ("%a = f32[64]{0:T(256)S(1)} negate(%y)", 256),  # to the chip
        ("%s = f32[8]{0} slice(%x), slice={[0:8]}", 2 * 32),
        ("%b = f32[64]{0} bitcast(%y)", 0),
        ("%t = (f32[256]{0}, f32[64]{0}) tuple(%x, %y)", 0),
        # Result, operand, and a word that is waited on.
        ("%c = (f32[64]{0:T(256)S(1)}, f32[64]{0:T(256)}, u32[]{:S(2)}) copy-start(%y)", 256),
        ("%c = (f32[64]{0:T(256)}, f32[64]{0:T(256)}, u32[]{:S(2)}) copy-start(%y)", 2 * 256),
        # Operand, the part of it that is copied, and a word.
        ("%s = (f32[256]{0}, f32[64]{0:T(256)S(1)}, u32[]{:S(2)}) slice-start(%x)", 256),
        ("%d = f32[64]{0:S(1)} slice-done(%s)", 0),
        # A part of x and y are read, two parts are written, one of them into x.
        (
            "%f = (f32[64]{0}, f32[256]{0}) fusion(%x, %y, %i), kind=kLoop, calls=%fused",
            4 * 256 + 4,
        ),
        ("%f = f32[256]{0} fusion(%x, %y, %i), kind=kLoop, calls=%behind", 2 * 256 + 4),
        ("%f = f32[8,8]{0,1} fusion(%y), kind=kOutput, calls=%nested", 2 * 256),
        # One exchange, in three fusions: a part is read, and the whole written. The second of them
        # reads and writes 256 bytes of its own.
        (
            "%b = (f32[64]{0}, f32[256]{0}, u32[]{:S(2)}) fusion(%y), kind=kCustom, calls=%begins",
            5 * 256,
        ),
        (
            "%m = (f32[64]{0}, f32[64]{0}, f32[256]{0}, f32[256]{0}) fusion(%y, %x, %y), "
            "kind=kCustom, calls=%beside",
            2 * 256,
        ),
        ("%e = f32[256]{0} fusion(%y, %x), kind=kCustom, calls=%ends", 0),
        ("%c = (f32[64]{0}, f32[256]{0}) fusion(%y, %x), kind=kLoop, calls=%copies", 10 * 256),
        ("%r = f32[64]{0} all-reduce-start(%y), replica_groups={{0,1}}", 2 * 256),
        ("%g = (f32[64]{0}, f32[256]{0}) all-gather-start(%y), replica_groups={{0,1}}", 5 * 256),
        (
            "%s = (f32[256]{0}, s32[], f32[64]{0:S(1)}, u32[]{:S(2)}) dynamic-slice-start(%x, %i)",
            256,
        ),
        ("%s = (f32[64]{0}, u32[], token[]) send(%y), channel_id=1", 256),
        ('%a = f32[64]{0} add(%y, %y), metadata={op_name="calls=%nothing (%x"}', 3 * 256),
        ("%n = (s32[], f32[64]{0}) while(%t), condition=%condition, body=%outer", 3 * (3 * 256)),
        (
            "%w = (s32[], f32[64]{0}) while(%t), condition=%condition, body=%body",
            3 * (3 * 256),
        ),
    ],
)
def test_bytes_to_and_from_memory_worked_by_hand(line, size):
    program = parse(PROGRAM.replace("LINE", line))
    assert memory_traffic(program, num_loops=3) == size


def test_a_text_that_is_no_program_has_no_traffic_that_is_known():
    with pytest.raises(ValueError, match="no ENTRY"):
        memory_traffic(parse("HloModule m"))


def convolutions(x, kernels):
    for kernel in kernels:
        x = jax.nn.relu(
            jax.lax.conv_general_dilated(
                x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
        )
    return jnp.sum(x)


X = jnp.ones((2, 32, 32, 16))
EXAMPLES = {
    "product": (lambda a, b: a @ b, (jnp.ones((256, 128)), jnp.ones((128, 64)))),
    "chain": (lambda a: jnp.sum(jnp.tanh(a * 2 + 1)), (X,)),
    "concatenation": (lambda a, b: jnp.concatenate([a, b], -1) * 2, (X, X)),
    "convolutions": (jax.grad(convolutions), (X, [jnp.ones((3, 3, 16, 16))] * 3)),
    "part": (lambda a, i: jax.lax.dynamic_slice_in_dim(a, i, 1) + 1, (X, 1)),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_where_there_is_but_one_memory_it_is_what_the_compiler_counts(name):
    function, arguments = EXAMPLES[name]
    compiled = jax.jit(function).lower(*arguments).compile()
    expected = compiled.cost_analysis()["bytes accessed"]
    assert memory_traffic(parse(compiled.as_text())) == pytest.approx(expected, rel=0.02)
