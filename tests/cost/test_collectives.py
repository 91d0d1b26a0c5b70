import pytest

from noise2map_jax.cost.collectives import collectives
from noise2map_jax.cost.program_text import parse

LINES = {
    # TPU and GPU write such lines; a started exchange has a tuple as its result.
    "%a = f32[1024]{0} all-reduce(%x), replica_groups={{0,1,2,3}}, to_apply=%add": (
        *("all-reduce", 4096, 4, 6144),
    ),
    "%a = (bf16[8]{0}, f32[2,2]{1,0}) all-reduce(%x, %y), replica_groups=[1,8]<=[8]": (
        *("all-reduce", 32, 8, 56),
    ),
    "%g = (f32[16]{0}, f32[64]{0}) all-gather-start(%x), replica_groups=[2,4]<=[8]": (
        *("all-gather", 256, 4, 192),
    ),
    "%r = f32[16]{0} reduce-scatter(%x), replica_groups={{0,1,2,3}}, dimensions={0}": (
        *("reduce-scatter", 256, 4, 192),
    ),
    "%g = ((f32[8], f32[4]), (f32[32], f32[16])) all-gather-start(%x), replica_groups=[1,4]<=[4]": (
        *("all-gather", 192, 4, 144),
    ),
    "%r = ((f32[16]), f32[4]) reduce-scatter-start(%x), replica_groups={{0,1,2,3}}": (
        *("reduce-scatter", 64, 4, 48),
    ),
    "%s = (f32[16]{0:T(128)}, u32[], token[]) send(%x, %t), channel_id=1, is_host_transfer=true": (
        *("between slices", 64, 2, 64),
    ),
    "%p = (u32[4], u32[4], u32[]) collective-permute-start(%x), source_target_pairs={{0,1}}": (
        *("collective-permute", 16, 2, 16),
    ),
    "%a = f32[4]{0} all-reduce(%x), replica_groups=mesh['a'=4,'b'=2] {'a'}, to_apply=%add": (
        *("all-reduce", 16, 4, 24),
    ),
    "%a = f32[4]{0} all-reduce(%x), replica_groups=mesh['a'=8,'b'=2] {'a':(1)2,'b'}": (
        *("all-reduce", 16, 4, 24),
    ),
    "%t = pred[8]{0} all-to-all(%x), replica_groups={{0,1}}": ("all-to-all", 8, 2, 4),
}


@pytest.mark.parametrize("line", LINES)
def test_exchanges_are_read_from_a_compiled_program(line):
    (found,) = collectives(parse(f"HloModule m\n  ROOT {line}\n"))
    assert (found.kind, found.size, found.group, found.sent) == LINES[line]


@pytest.mark.parametrize(
    "line",
    [
        "%d = f32[64]{0} all-gather-done(%g)",
        "%a = f32[8]{0} all-reduce(%x), replica_groups={{0},{1}}",  # each with itself
        "%f = f32[8]{0} fusion(%all-reduce.1), kind=kLoop",
    ],
)
def test_what_is_no_exchange_is_not_counted(line):
    assert list(collectives(parse(line))) == []


SCATTER = """HloModule m

%all-reduce-scatter.1 (p: f32[64]) -> f32[16] {
  %a = f32[64]{0} all-reduce(%p), replica_groups={{0,1,2,3}}, to_apply=%add
  ROOT %s = f32[16]{0} dynamic-slice(%a, %i), dynamic_slice_sizes={16}
}
"""


def test_the_way_tpus_write_a_reduce_scatter_is_known():
    (found,) = collectives(parse(SCATTER))
    assert (found.kind, found.sent) == ("reduce-scatter", 3 / 4 * 256)


IN_PARTS = """HloModule m

%begins (p: f32[16]) -> f32[64] {
  ROOT %a = f32[64]{0} all-gather(%p), replica_groups=[1,4]<=[4], frontend_attributes={chain_id="7"}
}

%goes_on (p: f32[16]) -> f32[64] {
  ROOT %b = f32[64]{0} all-gather(%p), replica_groups=[1,4]<=[4], frontend_attributes={chain_id="7"}
}

%another (p: f32[16]) -> f32[64] {
  ROOT %c = f32[64]{0} all-gather(%p), replica_groups=[1,4]<=[4], frontend_attributes={chain_id="8"}
}

%whole (p: f32[16]) -> f32[64] {
  %d = f32[64]{0} all-gather(%p), replica_groups=[1,4]<=[4]
  ROOT %e = f32[64]{0} all-gather(%p), replica_groups=[1,4]<=[4]
}
"""


def test_an_exchange_beside_several_fusions_is_one():
    assert len(list(collectives(parse(IN_PARTS)))) == 4


LOOP = """HloModule m

%fused (p: f32[4]) -> f32[4] {
  ROOT %r = f32[4]{0} all-reduce(%p), replica_groups={{0,1}}, to_apply=%add
}

%body.1 (t: (s32[], f32[4])) -> (s32[], f32[4]) {
  %g = f32[8]{0} all-gather(%x), replica_groups={{0,1}}, dimensions={0}
  %f = f32[4]{0} fusion(%g), kind=kLoop, calls=%fused
}

ENTRY %main (x: f32[4]) -> f32[4] {
  %w = (s32[], /*index=1*/f32[4]{0:T(128)}) while(%t), condition=%c, body=%body.1
  ROOT %p = f32[4]{0} all-reduce(%w), replica_groups={{0,1}}, to_apply=%add
}
"""


def test_what_a_loop_exchanges_counts_as_often_as_it_is_gone_through():
    found = list(collectives(parse(LOOP), num_loops=3))
    assert [c.kind for c in found].count("all-gather") == 3
    assert [c.kind for c in found].count("all-reduce") == 3 + 1


def test_an_exchange_of_another_form_is_not_passed_over():
    with pytest.raises(ValueError, match="unknown form of replica_groups"):
        list(collectives(parse("%a = f32[8]{0} all-reduce(%x), replica_groups=<new>")))


@pytest.mark.parametrize(
    ("groups", "leaves"),
    [
        ("replica_groups={{0,1,2,3},{4,5,6,7}}", False),
        ("replica_groups={{0,4},{1,5},{2,6},{3,7}}", True),
        ("replica_groups=[2,4]<=[8]", False),
        ("replica_groups=[4,2]<=[2,4]T(1,0)", True),
        ("replica_groups=[2,4]<=[2,2,2]T(1,0,2)", True),
        ("replica_groups=mesh['data'=2,'fsdp'=4] {'fsdp'}", False),
        ("replica_groups=mesh['data'=2,'fsdp'=4] {'data'}", True),
        ("replica_groups=mesh['data'=8] {'data':(2)4}", False),
        ("replica_groups=mesh['data'=8] {'data':(1)2}", True),
        ("source_target_pairs={{3,4}}", True),
        ("source_target_pairs={{2,3}}", False),
    ],
)
def test_exchanges_that_leave_a_machine_of_four_gpus_are_known(groups, leaves):
    kind = "all-reduce" if "replica" in groups else "collective-permute"
    program = parse(f"HloModule m\n  ROOT %a = f32[8]{{0}} {kind}(%x), {groups}\n")
    (found,) = collectives(program, machine_size=4)
    assert found.between_machines == leaves
    (found,) = collectives(program)
    assert not found.between_machines
