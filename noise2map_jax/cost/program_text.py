"""The text of a compiled program (XLA's HLO), read into its instructions."""

import dataclasses
import math
import re
from collections.abc import Callable, Iterator

_COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%(?P<name>[^ ]+) \(.*\{$")
# `%name = f32[8,4]{1,0} kind(%operand, ...), attribute=...`; a result of several is a tuple.
_INSTRUCTION = re.compile(
    r"^ *(?P<root>ROOT )?%(?P<name>[^ ]+) = (?P<result>\(.*?\)|[^ ]+) (?P<kind>[a-z0-9-]+)\("
    r"(?P<rest>.*)$"
)
# With its layout, in which `S(1)` says that it is not in the device's own memory.
_ARRAY = re.compile(
    r"\b(?P<type>[a-z]+[0-9]*[a-z0-9]*)\[(?P<shape>[0-9,<=]*)\](?P<layout>\{[^}]*\})?"
)
_BITS = re.compile(r"[a-z]+([0-9]+)")
_ELSEWHERE = re.compile(r"S\([1-9]")
_QUOTED = re.compile(r'"[^"]*"')  # names of the source and settings, which may hold anything
_SOURCE = re.compile(r'\bop_name="([^"]*)"')
_CHAIN = re.compile(r'\bchain_id="(\d+)"')
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_NAME = re.compile(r"%([^ ,)]+)")
_CALLED = re.compile(
    r"(?:calls|to_apply|body|condition|true_computation|false_computation)=%([^ ,)]+)"
)
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_BODY = re.compile(r"\bbody=%([^ ,]+)")


@dataclasses.dataclass(frozen=True)
class Array:
    """An array that an instruction takes or makes.

    Attributes:
        size: bytes.
        in_memory: whether it is in the device's memory, and not in a smaller one on the chip, as
            the vector memory of a TPU, or in that of the host.
    """

    size: int
    in_memory: bool


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a program.

    Attributes:
        name: that others call its result.
        kind: the operation: `fusion`, `all-reduce-start`, `while`.
        arrays: what it makes; several where the result is a tuple.
        operands: names of what it takes.
        attributes: the rest of the line.
        is_root: whether its result is that of the computation.
        source: what it was made from: functions and modules that lead there, `jit(step)/unet/add`.
        cycles: that the compiler's model of the device gives it; 0 where it says nothing.
        chain: number of the exchange that it goes on with, where a TPU does one beside several
            fusions, each of which has it in it; else empty.
    """

    name: str
    kind: str
    arrays: tuple[Array, ...]
    operands: tuple[str, ...]
    attributes: str
    is_root: bool
    source: str
    cycles: int
    chain: str

    @property
    def size(self) -> int:
        """Bytes of all that it makes."""
        return sum(array.size for array in self.arrays)

    @property
    def called(self) -> tuple[str, ...]:
        """Names of the computations that it calls; of a loop the condition and the body."""
        names = _CALLED.findall(self.attributes)
        for branches in _BRANCHES.findall(self.attributes):
            names += [name.strip().lstrip("%") for name in branches.split(",")]
        return tuple(names)


Computation = dict[str, Instruction]
Cost = Callable[[Computation, Instruction], float]


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program.

    Attributes:
        computations: by name, their instructions by name, in the order of the text.
        entry: name of the one that is begun with; empty where the text names none.
    """

    computations: dict[str, Computation]
    entry: str

    def looped(self) -> set[str]:
        """Name the computations that are bodies of loops, or called by them."""
        instructions = [i for c in self.computations.values() for i in c.values()]
        pending = {name for i in instructions for name in _BODY.findall(i.attributes)}
        found: set[str] = set()
        while pending:
            name = pending.pop()
            found.add(name)
            for instruction in self.computations.get(name, {}).values():
                pending.update(set(instruction.called) - found)
        return found

    def executed(self, cost: Cost, num_loops: int = 1) -> Iterator[tuple[Instruction, float]]:
        """Yield what is executed, with what it costs all times together.

        Of branches the dearest counts.

        Args:
            cost: of an instruction that calls no other computation but as a fusion does.
            num_loops: how often the program goes through its loops; loops inside of loops are
                gone through once each time.

        Raises:
            ValueError: the text that the program was read from has no entry.
        """
        if self.entry not in self.computations or not self.entry:
            raise ValueError("the text of the compiled program has no ENTRY: its costs are unknown")
        looped = self.looped()

        def of_computation(name: str, times: int) -> Iterator[tuple[Instruction, float]]:
            computation = self.computations[name]
            for instruction in computation.values():
                if instruction.kind not in ("while", "call", "conditional"):
                    yield instruction, times * cost(computation, instruction)
                    continue
                loops = num_loops if instruction.kind == "while" and name not in looped else 1
                called = [list(of_computation(c, times * loops)) for c in instruction.called]
                if instruction.kind == "conditional":
                    called = [max(called, key=lambda branch: sum(each for _, each in branch))]
                for branch in called:
                    yield from branch

        yield from of_computation(self.entry, 1)


def parse(text: str) -> Program:
    """Read the text of a compiled program, `jax.stages.Compiled.as_text()`."""
    computations: dict[str, Computation] = {"": {}}
    current, entry = computations[""], ""
    for line in text.splitlines():
        if header := _COMPUTATION.match(line):
            current = computations.setdefault(header["name"], {})
            entry = header["name"] if header["entry"] else entry
        elif found := _INSTRUCTION.match(line):
            operands, attributes = _split(_QUOTED.sub('""', found["rest"]))
            current[found["name"]] = Instruction(
                found["name"],
                found["kind"],
                tuple(_array(array) for array in _ARRAY.finditer(found["result"])),
                tuple(_NAME.findall(operands)),
                # What a parameter or a constant is given stands where operands stand.
                attributes if _NAME.search(operands) else f"{operands} {attributes}",
                found["root"] is not None,
                source[1] if (source := _SOURCE.search(found["rest"])) else "",
                int(cycles[1]) if (cycles := _CYCLES.search(found["rest"])) else 0,
                chain[1] if (chain := _CHAIN.search(found["rest"])) else "",
            )
    return Program(computations, entry)


def _array(found: re.Match[str]) -> Array:
    bits = _BITS.match(found["type"])
    width = int(bits[1]) if bits else 0 if found["type"] == "token" else 8  # pred
    elements = math.prod(int(n) for n in found["shape"].replace("<=", "").split(",") if n)
    return Array(elements * width // 8, not _ELSEWHERE.search(found["layout"] or ""))


def _split(rest: str) -> tuple[str, str]:
    """Cut what follows an opening bracket where that is closed."""
    depth = 1
    for i, letter in enumerate(rest):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return rest[:i], rest[i + 1 :]
    return rest, ""
