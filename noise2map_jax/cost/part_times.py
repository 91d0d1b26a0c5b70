"""How long each part of a training step took, from the operations of a trace."""

import heapq
from collections.abc import Sequence

from noise2map_jax.cost.network_parts import NOT_ATTRIBUTED, Part, parts_of
from noise2map_jax.cost.program_text import Program
from noise2map_jax.cost.trace import Operation

IDLE = "no operation runs"  # the device waits for the host: for data, a checkpoint, an evaluation
OTHER_PROGRAMS = "other programs"  # an evaluation, copies to the device
_CALLING = ("while", "call", "conditional")  # last as long as what they call


def part_times(
    operations: Sequence[Operation], program: Program, whole: float
) -> dict[Part, float]:
    """Divide a span of time among the parts of a training step.

    Where several operations run at once, they share that time equally. So the parts add up to the
    whole.

    Args:
        operations: the operations of one device; none of them is outside of the span.
        program: the compiled step.
        whole: length of the span in nanoseconds; at least that of all operations together.

    Returns:
        Nanoseconds by part, largest first. What no operation fills is `IDLE`.
    """
    parts = parts_of(program)
    calling = {
        i.name for c in program.computations.values() for i in c.values() if i.kind in _CALLING
    }
    found: dict[Part, float] = {}
    running: list[tuple[float, int, Part]] = []  # by their end
    counts: dict[Part, int] = {}
    now = 0.0

    def advance(until: float) -> None:
        """Share the time until then, as operations end."""
        nonlocal now
        while running and now < until:
            end = min(running[0][0], until)
            for part, count in counts.items():
                found[part] = found.get(part, 0.0) + (end - now) * count / len(running)
            now = end
            while running and running[0][0] <= now:
                _, _, part = heapq.heappop(running)
                counts[part] -= 1
                if not counts[part]:
                    del counts[part]
        now = max(now, until)

    for number, operation in enumerate(sorted(operations, key=lambda o: o.begin)):
        own = operation.program in ("", program.name)
        if own and operation.name in calling:
            continue
        advance(operation.begin)
        unknown = Part(NOT_ATTRIBUTED)
        part = parts.get(operation.name, unknown) if own else Part(OTHER_PROGRAMS)
        heapq.heappush(running, (operation.end, number, part))
        counts[part] = counts.get(part, 0) + 1
    if running:
        advance(max(end for end, _, _ in running))
    found[Part(IDLE)] = max(0.0, whole - sum(found.values()))
    return dict(sorted(found.items(), key=lambda item: -item[1]))
