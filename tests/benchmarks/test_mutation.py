"""What mutation testing counts, and that its list of equivalent mutants is of today's code."""

import json
import types

import programs
import pytest

from benchmarks import mutation

LISTED = json.loads(mutation.EQUIVALENT.read_text())


@pytest.mark.parametrize("module", LISTED)
def test_every_equivalent_mutant_is_of_a_line_that_is_there(module):
    lines = [line.strip() for line in (programs.ROOT / module).read_text().splitlines()]
    for entry in LISTED[module]:
        assert entry["line"] in lines
        assert entry["change"] != entry["line"]
        assert entry["reason"]


@pytest.mark.parametrize("module", mutation.TESTS)
def test_tests_of_modules_are_there(module):
    assert (programs.ROOT / module).exists()
    assert all((programs.ROOT / test).exists() for test in mutation.tests_of(module))


def test_a_mutant_that_is_listed_as_equivalent_is_no_survivor():
    survivors = [
        {"operator": "Add_Sub", "line_number": n, "line": "a + b", "change": "a - b", "source": ""}
        for n in (1, 2)
    ]
    survivors[1]["line"] = "a + 0"
    outcomes = ["killed", "survived", "survived", "out of time"]
    found = mutation._sum_up(outcomes, survivors, {("Add_Sub", "a + 0", "a - b")})
    assert (found["num_killed"], found["num_out_of_time"]) == (2, 1)
    assert (found["num_survived"], found["num_equivalent"]) == (1, 1)
    assert found["killed_of_all"] == 2 / 4
    assert found["killed_of_those_that_differ"] == round(2 / 3, 4)
    assert [entry["line_number"] for entry in found["survivors"]] == [1]


def test_only_survivors_are_tested_again_unless_the_module_has_changed():
    """A mutant of a line that is new is in no earlier result, yet nothing has killed it."""
    entries = [{"operator": "Add_Sub", "line": "a + b", "change": change} for change in "xyz"]
    mutants = [types.SimpleNamespace(**entry) for entry in entries]
    earlier = {"survivors": [entries[1]], "equivalent": [entries[2]], "sha256_of_module": "1"}
    assert mutation._to_test(mutants, earlier, "1") == [1, 2]
    assert mutation._to_test(mutants, earlier, "2") == [0, 1, 2]
    assert mutation._to_test(mutants, None, "1") == [0, 1, 2]


def test_types_and_the_words_of_errors_are_not_changed(tmp_path):
    pytest.importorskip("cosmic_ray")  # extra mutation
    from benchmarks import mutants

    path = tmp_path / "module.py"
    path.write_text(
        '"""One of 3 lines."""\n'
        "def f(a: int | None = 7, *, b: 'int' = 0) -> int | None:\n"
        "    if a < b:\n"
        '        raise ValueError(f"{a + 1}")\n'
        "    c: int | str = a + b\n"
        "    return c\n"
    )
    found = [(m.operator, m.line_number) for m in mutants.create(path)]
    assert sorted(found) == [
        ("AddNot", 3),
        *[("NumberReplacer", 2)] * 4,
        ("ReplaceBinaryOperator_Add_Sub", 5),
        ("ReplaceComparisonOperator_Lt_Gt", 3),
        ("ReplaceComparisonOperator_Lt_LtE", 3),
    ]
