"""Makes the mutants of a module: its source with one operator or number changed by cosmic-ray."""

import dataclasses
import difflib
import pathlib
from collections.abc import Iterator
from typing import Any

import cosmic_ray.plugins
from cosmic_ray.ast import Visitor, get_ast
from cosmic_ray.mutating import mutate_code

# cosmic-ray can replace each operator by every other. The nearest replacement tells good tests from
# poor ones best: one for an operator, two for an ordering (the bound, the direction).
EXCHANGED = {
    "Binary": (
        *("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_FloorDiv", "Pow_Mul"),
        *("LShift_RShift", "RShift_LShift", "BitOr_BitAnd", "BitAnd_BitOr", "BitXor_BitAnd"),
    ),
    "Comparison": (
        *("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is", "Lt_LtE", "Lt_Gt", "LtE_Lt", "LtE_Gt"),
        *("Gt_GtE", "Gt_Lt", "GtE_Gt", "GtE_Lt"),
    ),
    "Unary": ("USub_UAdd", "Delete_Invert", "Delete_Not"),
}
OTHERS = (
    *("AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr"),
    *("ReplaceOrWithAnd", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak"),
    *("ExceptionReplacer", "NumberReplacer", "RemoveDecorator", "ZeroIterationForLoop"),
)
OPERATORS = (
    *(f"Replace{kind}Operator_{pair}" for kind, pairs in EXCHANGED.items() for pair in pairs),
    *OTHERS,
)
# `*` and `/` among parameters and stars in calls are no operators.
NO_OPERATORS = {"parameters", "lambdef", "arglist", "dictorsetmaker", "testlist_comp"}


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change of a module.

    Attributes:
        operator: name of cosmic-ray's operator.
        line_number: line where the change begins, from 1.
        line: that line of the source, stripped.
        change: the changed line; several lines are joined by a space.
        source: the changed source of the whole module.
    """

    operator: str
    line_number: int
    line: str
    change: str
    source: str


def create(path: pathlib.Path) -> list[Mutant]:
    """Make all mutants of a module, each once.

    Args:
        path: file of the module, which is not changed.

    Returns:
        The mutants that Python compiles, in the order of the lines.
    """
    source = path.read_text()
    found: dict[str, Mutant] = {}
    for operator in OPERATORS:
        for occurrence in _occurrences(source, operator):
            mutated = mutate_code(source, _get(operator), occurrence)
            if mutated is not None and mutated != source and _compiles(mutated):
                found.setdefault(mutated, _describe(operator, source, mutated))
    return sorted(found.values(), key=lambda mutant: (mutant.line_number, mutant.operator))


def _get(operator: str) -> Any:
    return cosmic_ray.plugins.get_operator(f"core/{operator}")()


def _occurrences(source: str, operator: str) -> Iterator[int]:
    """Yield the occurrences of an operator, as cosmic-ray counts them, that affect behaviour."""
    visitor = _Positions(_get(operator))
    visitor.walk(get_ast(source))
    return (i for i, counts in enumerate(visitor.counts) if counts)


class _Positions(Visitor):
    def __init__(self, operator: Any) -> None:
        self.operator = operator
        self.counts: list[bool] = []

    def visit(self, node: Any) -> Any:
        positions = len(list(self.operator.mutation_positions(node)))
        self.counts.extend([_has_behaviour(node)] * positions)
        return node


def _has_behaviour(node: Any) -> bool:
    """Whether a change there affects more than a type or the words of an error."""
    if node.type == "operator" and node.parent.type in NO_OPERATORS:
        return False
    child = node
    while (parent := child.parent) is not None:
        is_type = (
            (parent.type == "annassign" and child is parent.children[1])
            or (parent.type == "tfpdef" and child is parent.children[2])
            or (parent.type == "funcdef" and child is parent.annotation)
        )
        if is_type or parent.type == "raise_stmt":
            return False
        child = parent
    return True


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def _describe(operator: str, source: str, mutated: str) -> Mutant:
    before, after = source.splitlines(), mutated.splitlines()
    blocks = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    _, start, stop, first, last = next(block for block in blocks if block[0] != "equal")
    line, change = (
        " ".join(text.strip() for text in lines)
        for lines in (before[start:stop], after[first:last])
    )
    return Mutant(operator, start + 1, line, change, mutated)
