"""Mutation testing: measures the share of small changes of a module that its tests find.

A mutant is a module with one operator or number changed. The tests find (kill) it if one of them
fails. A mutant that behaves like the original, so that no test can find it, is equivalent;
`equivalent_mutants.json` lists such mutants with the reason, by hand. Needs cosmic-ray (extra
`mutation`).
"""

import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

from benchmarks import machine

EQUIVALENT = pathlib.Path(__file__).with_name("equivalent_mutants.json")
OUTPUT = pathlib.Path(__file__).parent / "results" / "mutation.json"

# Tests of the modules that have other tests than the one file named after them. Tests of whole
# programs are left out, because they run the module in another process; so are those that train.
TESTS = {
    "noise2map_jax/method/losses.py": [
        "tests/method/test_losses.py",
        "tests/method/test_metrics.py",
    ],
    "noise2map_jax/steps/optimizer.py": [
        "tests/steps/test_optimizer.py",
        "tests/steps/test_optimizer_groups.py",
        "tests/steps/test_skipped_updates.py",
    ],
    "noise2map_jax/steps/train_step.py": ["tests/steps/test_train_step_by_hand.py"],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--modules", nargs="+", required=True, help="paths of the modules to test")
    parser.add_argument("--num_at_once", type=int, default=2, help="processes at a time")
    parser.add_argument("--niceness", type=int, default=10, help="niceness of these processes")
    parser.add_argument(
        "--times", type=float, default=5.0, help="time limit, as a multiple of the tests' own time"
    )
    parser.add_argument(
        "--survivors",
        action="store_true",
        help="test only the mutants that survived in the results so far, after adding tests; "
        "all, if the module has changed since",
    )


def run(arguments: argparse.Namespace) -> None:
    """Test the mutants of each module and report; keep the results of other modules."""
    output = arguments.output or str(OUTPUT)
    kept = json.loads(pathlib.Path(output).read_text()) if pathlib.Path(output).exists() else {}
    result: dict[str, Any] = {
        "benchmark": "mutation",
        "machine": machine.describe(),
        "operators": list(_mutants().OPERATORS),
        "modules": kept.get("modules", {}),
    }
    for module in arguments.modules:
        earlier = result["modules"].get(module)
        result["modules"][module] = _measure(module, earlier, arguments)
        machine.report(result, output)
        _print_survivors(module, result["modules"][module])


def _mutants() -> Any:
    """Import `mutants`, which needs cosmic-ray, unlike the other benchmarks."""
    from benchmarks import mutants

    return mutants


def tests_of(module: str) -> list[str]:
    """Return the test files of a module."""
    path = pathlib.Path(module)
    rooms = path.parts[:-1] if path.parts[0] == "data_prep" else path.parts[1:-1]
    return TESTS.get(module, [str(pathlib.Path("tests", *rooms, f"test_{path.stem}.py"))])


def _measure(
    module: str, earlier: dict[str, Any] | None, arguments: argparse.Namespace
) -> dict[str, Any]:
    mutants = _mutants().create(pathlib.Path(module))
    equivalent = {_key(entry) for entry in json.loads(EQUIVALENT.read_text()).get(module, [])}
    outcomes = ["killed"] * len(mutants)
    digest = hashlib.sha256(pathlib.Path(module).read_bytes()).hexdigest()
    tested = _to_test(mutants, earlier if arguments.survivors else None, digest)
    job = {
        "module": module,
        "tests": tests_of(module),
        "sources": [mutants[i].source for i in tested],
        "num_at_once": arguments.num_at_once,
        "times": arguments.times,
        "niceness": arguments.niceness,
    }
    seconds, found = _test(job)
    for position, outcome in found.items():
        outcomes[tested[position]] = outcome
    survivors = [
        vars(m) for m, outcome in zip(mutants, outcomes, strict=True) if outcome == "survived"
    ]
    return _sum_up(outcomes, survivors, equivalent) | {
        "tests": job["tests"],
        "sha256_of_module": digest,
        "seconds_of_tests": round(seconds, 2),
        "date": time.strftime("%Y-%m-%d"),
    }


def _to_test(mutants: list[Any], earlier: dict[str, Any] | None, digest: str) -> list[int]:
    """Choose the mutants that survived in earlier results; all, if these are of another source."""
    if earlier is None or earlier.get("sha256_of_module") != digest:
        return list(range(len(mutants)))
    survived = {_key(entry) for entry in earlier["survivors"] + earlier["equivalent"]}
    return [i for i, mutant in enumerate(mutants) if _key(vars(mutant)) in survived]


def _sum_up(
    outcomes: list[str], survivors: list[dict[str, Any]], equivalent: set[tuple[str, ...]]
) -> dict[str, Any]:
    shown = [{k: v for k, v in entry.items() if k != "source"} for entry in survivors]
    same = [entry for entry in shown if _key(entry) in equivalent]
    missed = [entry for entry in shown if _key(entry) not in equivalent]
    killed = len(outcomes) - len(shown)
    return {
        "num_mutants": len(outcomes),
        "num_killed": killed,
        "num_out_of_time": outcomes.count("out of time"),  # counted among the killed
        "num_equivalent": len(same),
        "num_survived": len(missed),
        "killed_of_all": round(killed / len(outcomes), 4),
        "killed_of_those_that_differ": round(killed / (len(outcomes) - len(same)), 4),
        "survivors": missed,
        "equivalent": same,
    }


def _key(entry: dict[str, Any]) -> tuple[str, ...]:
    """Return a key of a mutant that stays when lines move."""
    return entry["operator"], entry["line"], entry["change"]


def _test(job: dict[str, Any]) -> tuple[float, dict[int, str]]:
    """Test the mutants of a job in another process, as this one has imported the modules."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.mutant_tests"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(job))
    process.stdin.close()
    first, *others = _lines(process.stdout, len(job["sources"]))
    if process.wait() != 0:
        raise SystemExit(f"the tests of {job['module']} could not be run; see above")
    return first["seconds"], {entry["index"]: entry["outcome"] for entry in others}


def _lines(stream: Iterable[str], num_mutants: int) -> list[dict[str, Any]]:
    lines = []
    for line in stream:
        lines.append(json.loads(line))
        print(f"\r{len(lines) - 1} of {num_mutants}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return lines or [{"seconds": 0.0}]


def _print_survivors(module: str, result: dict[str, Any]) -> None:
    for entry in result["survivors"]:
        print(f"{module}:{entry['line_number']}: {entry['line']}\n    -> {entry['change']}")
