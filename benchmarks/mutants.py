"""Small faults put into the source of a module, one at a time: the operators of mutmut."""

import difflib
from typing import NamedTuple

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation import mutators

# Not what puts None in place of a value: any test that runs such a line fails.
OPERATORS = [
    (kind, operator)
    for kind, operator in mutators.mutation_operators
    if operator not in (mutators.operator_assignment, mutators.operator_lambda)
]
# Not what is there for readers and checkers, or not to be found when the module is imported.
PASSED_OVER = (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom)


class Mutant(NamedTuple):
    """A module with one fault.

    Attributes:
        line: where it is, from 1.
        name: the function or class around it and the lines before and after, which stay the same
            when lines above are added.
        source: the whole module.
    """

    line: int
    name: str
    source: str


class _Faults(cst.CSTVisitor):
    """Collects (scope, node, other node)."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        self.found: list[tuple[str, cst.CSTNode, cst.CSTNode]] = []
        self._scopes: list[str] = []
        self._raises = 0

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, PASSED_OVER):
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self._scopes.append(node.name.value)
        self._raises += isinstance(node, cst.Raise)
        for kind, operator in OPERATORS:
            # The wording of an error is no behaviour; numbers and names in it are.
            wording = kind is cst.BaseString and self._raises
            if isinstance(node, kind) and not wording:
                scope = ".".join(self._scopes) or "module"
                others = operator(node)
                if operator is mutators.operator_arg_removal:
                    others = [other for other in others if len(other.args) < len(node.args)]
                self.found += [(scope, node, other) for other in others]
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef):
            self._scopes.pop()
        self._raises -= isinstance(original_node, cst.Raise)


def mutants(source: str) -> list[Mutant]:
    """Make every mutant of a module that can be compiled, in the order of its lines."""
    wrapper = MetadataWrapper(cst.parse_module(source))
    faults = _Faults()
    wrapper.visit(faults)
    made = {}
    for scope, node, other in faults.found:
        mutated = wrapper.module.deep_replace(node, other).code
        try:
            compile(mutated, "mutant", "exec")
        except SyntaxError:
            continue
        mutant = _describe(scope, source, mutated)
        made[mutant.source] = mutant
    return sorted(made.values(), key=lambda mutant: mutant.line)


def _describe(scope: str, source: str, mutated: str) -> Mutant:
    before, after = source.splitlines(), mutated.splitlines()
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    changes = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    first, last = changes[0], changes[-1]
    old, new = (
        " ".join(line.strip() for line in lines[start:stop])
        for lines, start, stop in ((before, first[1], last[2]), (after, first[3], last[4]))
    )
    return Mutant(first[1] + 1, f"{scope}: {old} -> {new}", mutated)
