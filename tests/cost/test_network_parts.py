import pytest

from noise2map_jax.cost.network_parts import NOT_ATTRIBUTED, REST, Part, part_of, parts_of
from noise2map_jax.cost.program_text import parse


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("jit(f)/jvp(Noise2Map)/unet/up_blocks_5/resnets_0/add", Part("up_blocks_5", "forward")),
        ("jit(f)/transpose(jvp(Noise2Map))/ss_head/mul", Part("ss_head", "backward")),
        ("jit(f)/shard_map/jvp(Rival)/encoder/stem/conv", Part("encoder", "forward")),
        ("jit(f)/while/body/transpose(jvp(Rival))/decoder/x", Part("decoder", "backward")),
        ("jit(f)/jvp(Noise2Map)/unet/exp/", Part("exp", "forward")),
        ("jit(f)/jvp(loss)/reduce_sum", Part("loss", "forward")),
        ("jit(f)/transpose(jvp(loss))/mul", Part("loss", "backward")),
        ("jit(f)/optimizer/jit(_where)/select_n", Part("optimizer")),
        ("jit(f)/inputs/jit(_normal)/erf_inv", Part("inputs")),
        ("jit(f)/averages/add", Part("averages")),
        ("jit(f)/reduce_sum", Part(REST)),
        ("state.params['unet']['up_blocks_1']", None),
        ("", None),
    ],
)
def test_a_source_names_a_part(source, part):
    assert part_of(source) == part


def made(source):
    return f', metadata={{op_name="jit(f)/{source}"}}'


PROGRAM = f"""HloModule jit_f, is_scheduled=true

%fused (p: f32[8]) -> f32[8] {{
  %p = f32[8]{{0}} parameter(0)
  %a = f32[8]{{0}} add(%p, %p){made("jvp(Noise2Map)/unet/mid_block/add")}
  %b = f32[8]{{0}} add(%a, %a){made("jvp(Noise2Map)/unet/mid_block/add")}
  ROOT %c = f32[8]{{0}} add(%b, %b){made("jvp(Noise2Map)/unet/conv_in/add")}
}}

ENTRY %main (x: f32[8]) -> f32[8] {{
  %x = f32[8]{{0}} parameter(0)
  %turned = f32[8]{{0}} copy(%x)
  %fusion = f32[8]{{0}} fusion(%turned), kind=kLoop, calls=%fused
  %moved = f32[8]{{0}} copy(%fusion)
  ROOT %last = f32[8]{{0}} copy(%moved)
}}
"""


def test_what_has_no_source_belongs_to_what_it_holds_or_what_takes_it():
    program = parse(PROGRAM)
    assert program.name == "jit_f"
    parts = parts_of(program)
    assert parts["fusion"] == parts["turned"] == Part("mid_block", "forward")
    assert parts["moved"] == parts["last"] == Part(NOT_ATTRIBUTED)
