"""Parser for the text of a compiled program (XLA's HLO)."""

import dataclasses
import math
import re
from collections.abc import Callable, Iterator

_HEADER = re.compile(r"^HloModule (?P<name>[^\s,]+)", re.MULTILINE)
_COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%(?P<name>[^ ]+) \(.*\{$")
# `%name = f32[8,4]{1,0} kind(%operand, ...), attribute=...`; several results form a tuple.
_INSTRUCTION = re.compile(
    r"^ *(?P<root>ROOT )?%(?P<name>[^ ]+) = (?P<result>\(.*?\)|[^ ]+) (?P<kind>[a-z0-9-]+)\("
    r"(?P<rest>.*)$"
)
# An array with its layout; `S(1)` in the layout means a memory other than the device's main one.
_ARRAY = re.compile(
    r"\b(?P<type>[a-z]+[0-9]*[a-z0-9]*)\[(?P<shape>[0-9,<=]*)\](?P<layout>\{[^}]*\})?"
)
_BITS = re.compile(r"[a-z]+([0-9]+)")
_ELSEWHERE = re.compile(r"S\([1-9]")
_QUOTED = re.compile(r'"[^"]*"')  # source names and settings; these may contain anything
_SOURCE = re.compile(r'\bop_name="([^"]*)"')
_TARGET = re.compile(r'\bcustom_call_target="([^"]*)"')
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
        in_memory: whether the array is in the device's main memory; False for smaller memories on
            the chip, such as the vector memory of a TPU, and for the host's memory.
    """

    size: int
    in_memory: bool


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a program.

    Attributes:
        name: name of the instruction and its result.
        kind: the operation: `fusion`, `all-reduce-start`, `while`.
        arrays: the results; several if the result is a tuple.
        operands: names of the operands.
        attributes: the rest of the line.
        is_root: whether its result is the result of the computation.
        source: path of functions and modules in the source, such as `jit(step)/unet/add`.
        cycles: estimate by the compiler's model of the device; 0 if there is none.
        target: the library's function that a `custom-call` calls; else empty.
        chain: number of the exchange that the instruction continues, else empty. A TPU can run an
            exchange beside several fusions; each of them then contains part of it.
    """

    name: str
    kind: str
    arrays: tuple[Array, ...]
    operands: tuple[str, ...]
    attributes: str
    is_root: bool
    source: str
    cycles: int
    target: str
    chain: str

    @property
    def size(self) -> int:
        """Bytes of all results."""
        return sum(array.size for array in self.arrays)

    @property
    def called(self) -> tuple[str, ...]:
        """Names of the computations that it calls; for a loop, the condition and the body."""
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
        computations: by name, the instructions of each by name, in the order of the text.
        entry: name of the computation that runs first; empty if the text names none.
        name: name of the program; empty if the text has none.
    """

    computations: dict[str, Computation]
    entry: str
    name: str = ""

    def looped(self) -> set[str]:
        """Return the names of computations that are bodies of loops or called from them."""
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
        """Yield each executed instruction with its cost over all executions.

        Of the branches of a conditional, only the most expensive one counts.

        Args:
            cost: cost of one execution of an instruction other than a loop, call or conditional.
            num_loops: number of passes of the program's loops; a loop inside a loop counts as one
                pass each time.

        Raises:
            ValueError: the program's text has no entry.
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
    """Parse the text of a compiled program, from `jax.stages.Compiled.as_text()`."""
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
                # Parameters and constants have their number or value in place of operands.
                attributes if _NAME.search(operands) else f"{operands} {attributes}",
                found["root"] is not None,
                source[1] if (source := _SOURCE.search(found["rest"])) else "",
                int(cycles[1]) if (cycles := _CYCLES.search(found["rest"])) else 0,
                target[1] if (target := _TARGET.search(found["rest"])) else "",
                chain[1] if (chain := _CHAIN.search(found["rest"])) else "",
            )
    return Program(computations, entry, header["name"] if (header := _HEADER.search(text)) else "")


def _array(found: re.Match[str]) -> Array:
    bits = _BITS.match(found["type"])
    width = int(bits[1]) if bits else 0 if found["type"] == "token" else 8  # pred
    elements = math.prod(int(n) for n in found["shape"].replace("<=", "").split(",") if n)
    return Array(elements * width // 8, not _ELSEWHERE.search(found["layout"] or ""))


def _split(rest: str) -> tuple[str, str]:
    """Cut the text after an opening bracket at its closing bracket."""
    depth = 1
    for i, letter in enumerate(rest):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return rest[:i], rest[i + 1 :]
    return rest, ""
