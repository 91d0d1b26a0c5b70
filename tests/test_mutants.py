"""What is put into a module to see whether its tests notice."""

import pytest

pytest.importorskip("mutmut", reason="needs mutmut (the extra 'mutation')")

from benchmarks.mutants import mutants

SOURCE = '''"""A text."""
import math


class Area:
    @property
    def half(self) -> int:
        """Not a fault in here."""
        if self.side < 3:
            raise ValueError(f"side is {self.side}; expected " "at least 3")
        half = math.hypot(self.side / 2, 0)
        return half
'''


def test_each_mutant_is_one_fault_with_its_place_and_name():
    found = [(mutant.line, mutant.name) for mutant in mutants(SOURCE)]
    before = "Area.half: half = math.hypot(self.side / 2, 0) -> "
    assert found == [
        (9, "Area.half: if self.side < 3: -> if self.side <= 3:"),
        (9, "Area.half: if self.side < 3: -> if self.side < 4:"),
        (11, f"{before}half = math.hypot(0)"),
        (11, f"{before}half = math.hypot(self.side / 2, )"),
        (11, f"{before}half = math.hypot(self.side * 2, 0)"),
        (11, f"{before}half = math.hypot(self.side / 3, 0)"),
        (11, f"{before}half = math.hypot(self.side / 2, 1)"),
    ]


def test_all_else_stays_as_it_was():
    for mutant in mutants(SOURCE):
        ours, theirs = SOURCE.splitlines(), mutant.source.splitlines()
        assert len(ours) == len(theirs)
        differ = [
            i for i, lines in enumerate(zip(ours, theirs, strict=True), 1) if len({*lines}) > 1
        ]
        assert differ == [mutant.line]
