from noise2map_jax.cost.estimated_time import OTHERS, estimated_cycles
from noise2map_jax.cost.program_text import parse


def made(source, cycles):
    """Write what the compiler for TPUs notes behind an instruction."""
    config = f'{{"window_config":{{"estimated_cycles":"{cycles}"}}}}'
    return f', metadata={{op_name="jit(f)/{source}"}}, backend_config={config}'


PROGRAM = f"""HloModule m

%inner (p: f32[8]) -> f32[8] {{
  ROOT %p = f32[8]{{0}} parameter(0)
}}

%few (p: f32[8]) -> f32[8] {{
  %p = f32[8]{{0}} parameter(0)
  ROOT %a = f32[8]{{0}} add(%p, %p){made("jvp(Noise2Map)/unet/mid_block/add", 3)}
}}

%many (p: f32[8]) -> f32[8] {{
  %p = f32[8]{{0}} parameter(0)
  %a = f32[8]{{0}} add(%p, %p){made("jvp(Noise2Map)/unet/conv_in/mul", 2)}
  ROOT %b = f32[8]{{0}} add(%a, %a){made("jvp(Noise2Map)/unet/jit(silu)/mul", 2)}
}}

%body (p: f32[8]) -> f32[8] {{
  %p = f32[8]{{0}} parameter(0)
  ROOT %a = f32[8]{{0}} add(%p, %p){made("transpose(jvp(Noise2Map))/unet/up_blocks_5/add", 100)}
}}

ENTRY %main (x: f32[8], i: s32[]) -> f32[8] {{
  %x = f32[8]{{0}} parameter(0)
  %i = s32[] parameter(1)
  %head = f32[8]{{0}} add(%x, %x){made("jvp(Noise2Map)/ss_output_conv/conv", 20)}
  %loop = f32[8]{{0}} while(%head), condition=%inner, body=%body
  %one = f32[8]{{0}} conditional(%i, %loop, %loop), branch_computations={{%few, %many}}
  ROOT %last = f32[8]{{0}} copy(%one), backend_config={{"estimated_cycles":"1"}}
}}
"""


def test_cycles_are_added_up_by_part_as_often_as_they_are_spent():
    found = estimated_cycles(parse(PROGRAM), num_loops=4)
    assert list(found.items()) == [
        ("up_blocks_5", 400),  # in the loop, backward
        ("ss_output_conv", 20),
        ("conv_in", 2),  # of the dearer branch, and nothing of the other
        ("unet", 2),
        (OTHERS, 1),  # made from nothing that is named
    ]


def test_a_program_without_estimates_has_none():
    lines = [line.split(", backend_config")[0] for line in PROGRAM.splitlines()]
    assert estimated_cycles(parse("\n".join(lines))) == {}


def test_a_program_of_which_the_compiler_cannot_tell_has_no_estimate():
    text = PROGRAM.replace('"estimated_cycles":"20"', '"estimated_cycles":"9223372036854775807"')
    assert text != PROGRAM
    assert estimated_cycles(parse(text)) == {}
