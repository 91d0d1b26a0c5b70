"""The operations of a device in a trace of JAX's profiler.

What was found in traces (jaxlib 0.10.2) and in the sources of XLA and XProf:

CPU  `/host:CPU`, any line: an event with the statistics `hlo_op`, `hlo_module`, `device_ordinal`.
     A convolution goes on in other threads after its event: its end is the event `end: NAME` whose
     statistic `_c` is the `_p` of the first.
GPU  `/device:GPU:N`, lines `Stream ...`: kernels with `hlo_op`, `hlo_module`. Kernels within a
     recorded graph (command buffer) may lack them. Not tried here.
TPU  `/device:TPU:N`, line `XLA Ops`: events named as the instruction's text. Not tried here.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from jax.profiler import ProfileData

_DEVICE = re.compile(r"^/device:(?:GPU|TPU):(\d+)$")
_HOST = "/host:CPU"
_LINES = ("Stream", "XLA Ops")  # of a GPU, of a TPU; others repeat the same operations in groups
_END = "end: "


@dataclasses.dataclass(frozen=True)
class Operation:
    """One operation that ran.

    Attributes:
        name: name of the instruction in the compiled program.
        program: name of the program; empty if the trace does not tell.
        begin: when it began, in nanoseconds.
        end: when it ended, in nanoseconds.
    """

    name: str
    program: str
    begin: float
    end: float


def read_operations(path: pathlib.Path) -> list[Operation]:
    """Read the operations of the first device from an `*.xplane.pb`; empty if it has none."""
    planes = {plane.name: plane for plane in ProfileData.from_file(str(path)).planes}
    devices = {int(m[1]): plane for name, plane in planes.items() if (m := _DEVICE.match(name))}
    if devices:
        lines = devices[min(devices)].lines
        return [
            _of_accelerator(e)
            for line in lines
            if line.name.startswith(_LINES)
            for e in line.events
        ]
    return _of_cpu(planes[_HOST]) if _HOST in planes else []


def _of_accelerator(event: Any) -> Operation:
    stats = dict(event.stats)
    name = stats.get("hlo_op") or event.name.split(" = ")[0].lstrip("%")
    begin = event.start_ns
    return Operation(name, stats.get("hlo_module", ""), begin, begin + event.duration_ns)


def _of_cpu(plane: Any) -> list[Operation]:
    begun: list[tuple[int, Any, Operation]] = []  # device, identity, operation
    ends: dict[Any, float] = {}
    for event in _events(plane):
        stats = dict(event.stats)
        end = event.start_ns + event.duration_ns
        if "hlo_op" in stats:
            name = stats["hlo_op"]
            operation = Operation(name, stats.get("hlo_module", ""), event.start_ns, end)
            begun.append((stats.get("device_ordinal", 0), (name, stats.get("_p")), operation))
        elif event.name.startswith(_END):
            ends[event.name.removeprefix(_END), stats.get("_c")] = event.start_ns
    first = min((device for device, _, _ in begun), default=0)
    return [
        dataclasses.replace(operation, end=max(operation.end, ends.get(identity, 0.0)))
        for device, identity, operation in begun
        if device == first
    ]


def _events(plane: Any) -> Iterator[Any]:
    for line in plane.lines:
        yield from line.events
