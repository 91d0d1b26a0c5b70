"""Do the tests of a module notice faults in it? Each fault is tried in a process of its own.

A mutant is the module with one small fault, as mutmut makes them (the extra `mutation`). It is
killed when a test of the module's own files of tests fails, or runs five times as long as all of
them together; else it survives. Mutants that behave as the module does, so that no test can kill
them, are listed with the reason in equivalent_mutants.toml. Nothing on disk is changed: with all
libraries imported a process is forked for each mutant, and imports it in place of the module.
"""

import argparse
import contextlib
import importlib
import importlib.abc
import importlib.util
import json
import math
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import platform
import resource
import sys
import tempfile
import time
import tomllib
import warnings
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
EQUIVALENT = pathlib.Path(__file__).with_name("equivalent_mutants.toml")
MODULES = tuple(
    [f"noise2map_jax/{name}.py" for name in ("schedules", "denoising", "sampling", "noise")]
    + [f"noise2map_jax/{name}.py" for name in ("scaling", "augment", "resampling", "metrics")]
    + [f"noise2map_jax/{name}.py" for name in ("train_state", "sweep")]
    + [f"data_prep/{name}.py" for name in ("tiles", "histograms")]
)
# Tests of a module that lie in another file than its own.
MORE_TESTS: dict[str, tuple[str, ...]] = {}
# Imported before forking: they bring in all libraries that modules and tests use.
IMPORTED_FIRST = ("noise2map_jax.ablate", "data_prep.shards", "hypothesis.extra.numpy", "pytest")
# Fixtures of tests that start programs, which would import the module itself, and take minutes.
PROGRAMS = {"program", "thin_data", "cache"}
MOST_BYTES = 2**33  # of a mutant that asks for ever more memory


class _Limits(NamedTuple):
    """What the tests of one mutant may take: seconds of all cores, and of the clock."""

    processor: int
    clock: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--modules", nargs="+", default=MODULES, help="paths from the root")
    parser.add_argument(
        "--survivors",
        action="store_true",
        help="only those that survived before, by the output; the others count as killed",
    )


def run(arguments: argparse.Namespace) -> None:
    """Test the mutants of each module; what `output` has of other modules stays there."""
    equivalent = tomllib.loads(EQUIVALENT.read_text())
    output = pathlib.Path(arguments.output) if arguments.output else None
    modules = json.loads(output.read_text())["modules"] if output and output.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        _import_libraries(folder)
        for path in arguments.modules:
            before = modules[path] if arguments.survivors else None
            modules[path] = _module(path, equivalent.get(path, {}), before)
            if output:
                _write(output, modules)
    for path, found in modules.items():
        print(f"{path}: {found['killed']} of {found['mutants']} killed", end="")
        print(f", {found['equivalent']} equivalent: {found['share_without_equivalent']:.1%}")


def _write(output: pathlib.Path, modules: dict[str, Any]) -> None:
    counts = {
        key: sum(found[key] for found in modules.values())
        for key in ("mutants", "killed", "equivalent")
    }
    result = {
        "benchmark": "mutation",
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "mutmut": importlib.metadata.version("mutmut"),
        **_shares(counts),
        "modules": dict(sorted(modules.items())),
    }
    output.write_text(json.dumps(result, indent=2) + "\n")


def _shares(counts: dict[str, int]) -> dict[str, Any]:
    return {
        **counts,
        "share": counts["killed"] / counts["mutants"],
        "share_without_equivalent": counts["killed"] / (counts["mutants"] - counts["equivalent"]),
    }


def _import_libraries(folder: str) -> None:
    """Import what all children need, and let them share what JAX compiles."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    for name in IMPORTED_FIRST:
        importlib.import_module(name)
    ours = ("noise2map_jax", "data_prep", "configs")
    for name in [name for name in sys.modules if name.split(".")[0] in ours]:
        del sys.modules[name]  # a child imports these anew, the mutant among them


def _module(path: str, equivalent: dict[str, str], before: dict[str, Any] | None) -> dict[str, Any]:
    from benchmarks.mutants import mutants  # needs mutmut

    source = (ROOT / path).read_text()
    tests, seconds = _tests(path), {}
    start, processor = time.monotonic(), _processor_seconds()
    if outcome := _test(path, source, tests, seconds, limits=None):
        sys.exit(f"error: the tests of {path} fail without a mutant, exit code {outcome}")
    limits = _Limits(
        processor=math.ceil(5 * (_processor_seconds() - processor)) + 5,
        clock=10 * (time.monotonic() - start) + 60,  # for one that waits
    )
    made = mutants(source)
    tested = made if before is None else _survivors(path, made, before, equivalent)
    survivors = []
    for mutant in tested:
        if not _test(path, mutant.source, tests, seconds, limits):
            survivors.append(mutant)
            print(f"{path}:{mutant.line}: {mutant.name}", flush=True)
    missed = [mutant for mutant in survivors if mutant.name not in equivalent]
    if wrong := sorted(equivalent.keys() - {mutant.name for mutant in survivors}):
        listed = "\n".join(wrong)
        sys.exit(f"error: {EQUIVALENT.name} lists for {path} what is killed or gone:\n{listed}")
    counts = {
        "mutants": len(made),
        "killed": len(made) - len(survivors),
        "equivalent": len(survivors) - len(missed),
    }
    return _shares(counts) | {
        "tests": [test.name for test in tests],
        "survivors": [f"{mutant.line}: {mutant.name}" for mutant in missed],
    }


def _survivors(
    path: str, made: list[Any], before: dict[str, Any], equivalent: dict[str, str]
) -> list[Any]:
    if before["mutants"] != len(made):
        sys.exit(f"error: {path} has changed since; run it without --survivors")
    names = equivalent.keys() | {entry.split(": ", 1)[1] for entry in before["survivors"]}
    return [mutant for mutant in made if mutant.name in names]


def _tests(path: str) -> list[pathlib.Path]:
    package, stem = pathlib.Path(path).parent.name, pathlib.Path(path).stem
    stem = stem if package == "noise2map_jax" else f"{package}_{stem}"
    return [ROOT / "tests" / f"test_{name}.py" for name in (stem, *MORE_TESTS.get(path, ()))]


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _test(
    path: str,
    source: str,
    tests: list[pathlib.Path],
    seconds: dict[str, float],
    limits: _Limits | None,
) -> int:
    """Run the tests on a module's source in a child: its exit code, 0 if no test fails.

    Args:
        path: of the module.
        source: taken for the module's.
        tests: files of tests.
        seconds: how long each test takes, the fastest comes first; filled where it is empty.
        limits: None for the module itself, whose tests are timed and must not fail.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(path, source, tests, seconds, limits, sender))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX has threads, but has not begun to use them
        child.start()
    sender.close()
    if limits is None:
        with contextlib.suppress(EOFError):
            seconds |= receiver.recv()
    child.join(limits.clock if limits else None)
    if child.exitcode is None:
        child.kill()
        child.join()
    return child.exitcode


def _child(
    path: str,
    source: str,
    tests: list[pathlib.Path],
    seconds: dict[str, float],
    limits: _Limits | None,
    sender: multiprocessing.connection.Connection,
) -> None:
    import pytest

    if limits:
        resource.setrlimit(resource.RLIMIT_CPU, (limits.processor, limits.processor))
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
    name = path.removesuffix(".py").replace("/", ".")
    sys.meta_path.insert(0, _Substitute(name, ROOT / path, source))
    _make_hypothesis_repeatable()
    order = _Order(dict(seconds))
    options = ["-x", "--assert=plain", "--tb=short" if limits is None else "--tb=no"]
    code = pytest.main([*options, "-p", "no:cacheprovider", *map(str, tests)], plugins=[order])
    if limits is None:
        sender.send(order.seconds)
    sys.stdout.flush()
    os._exit(code)  # no clean-up of what the parent goes on with


def _make_hypothesis_repeatable() -> None:
    from hypothesis import Phase, settings

    phases = (Phase.explicit, Phase.generate)  # a failing example need not be made small
    settings.register_profile(
        "mutation", derandomize=True, database=None, deadline=None, phases=phases
    )
    settings.load_profile("mutation")


class _Substitute(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Loads one module from other source than its file's."""

    def __init__(self, name: str, path: pathlib.Path, source: str):
        self._name, self._path, self._source = name, path, source

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self._name:
            return None
        return importlib.util.spec_from_file_location(name, self._path, loader=self)

    def get_filename(self, name: str) -> str:
        return str(self._path)

    def get_data(self, path: str) -> bytes:
        return self._source.encode()


class _Order:
    """A plugin of pytest: the fastest tests first; those that start programs are left out."""

    def __init__(self, seconds: dict[str, float]):
        self.seconds = seconds

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = [item for item in items if not PROGRAMS.intersection(item.fixturenames)]
        items.sort(key=lambda item: self.seconds.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
