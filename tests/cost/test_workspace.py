import pytest

from noise2map_jax.cost.program_text import parse
from noise2map_jax.cost.workspace import workspace_allowance

# As XLA writes convolutions for a GPU: the last result is the workspace.
CALL = (
    "(bf16[2,8]{1,0}, u8[WORKSPACE]{0}) custom-call(%x, %k), dim_labels=b01f_o01i->b01f, "
    'custom_call_target="TARGET", backend_config={"algo_id":"-1"}'
)
PROGRAM = f"""HloModule m

%inside (x: bf16[2,8], k: bf16[8,8]) -> bf16[2,8] {{
  %x = bf16[2,8]{{1,0}} parameter(0)
  %k = bf16[8,8]{{1,0}} parameter(1)
  %c = {CALL}
  ROOT %r = bf16[2,8]{{1,0}} get-tuple-element(%c), index=0
}}

ENTRY %main (x: bf16[2,8], k: bf16[4,8]) -> bf16[2,8] {{
  %x = bf16[2,8]{{1,0}} parameter(0)
  %k = bf16[4,8]{{1,0}} parameter(1)
  %c = {CALL}
  ROOT %w = bf16[2,8]{{1,0}} get-tuple-element(%c), index=0
}}
"""


@pytest.mark.parametrize(
    ("workspace", "target", "size"),
    [
        (0, "__cudnn$convForward", 2 * (2 * 8 + 8 * 8 + 2 * 8)),  # the larger of the two
        (0, "__cudnn$convBackwardFilter", 2 * (2 * 8 + 8 * 8 + 2 * 8)),
        (64, "__cudnn$convForward", 0),  # counted already
        (0, "__cublas$gemm", 0),
    ],
)
def test_room_is_left_for_what_the_compiler_cannot_count(workspace, target, size):
    text = PROGRAM.replace("WORKSPACE", str(workspace)).replace("TARGET", target)
    assert workspace_allowance(parse(text)) == size
