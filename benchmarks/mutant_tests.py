"""Tests mutants of a module, in processes forked from one that has imported what tests need.

`python -m benchmarks.mutant_tests` reads a job from standard input and writes a line of JSON for
each mutant to standard output. JAX is imported before the forks, but computes nothing there,
because its threads would not survive in the children. A child tests mutant after mutant and imports
the project anew for each, so unchanged code is compiled only once. A child that a mutant breaks or
blocks is replaced. No file is changed: the mutated source is imported in place of the module.
"""

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from typing import Any

OWN = ("noise2map_jax", "data_prep", "benchmarks", "tests", "configs")
Limits = tuple[float, float]  # seconds for the first source, while JAX starts, and for later ones
KILLED = "killed"
SURVIVED = "survived"
OUT_OF_TIME = "out of time"
NUM_EXAMPLES = 5  # most examples of a hypothesis test; they are not shrunk


class MutatedModule(importlib.abc.MetaPathFinder):
    """Finds one module, with a given source instead of its file's."""

    def __init__(self, name: str, path: str, source: str) -> None:
        self.name, self.path, self.source = name, path, source

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        """Find the module by its name."""
        if fullname != self.name:
            return None
        loader = _Loader(fullname, self.path, self.source)
        return importlib.util.spec_from_file_location(fullname, self.path, loader=loader)


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self.source = source

    def get_code(self, fullname: str) -> Any:
        return compile(self.source, self.path, "exec", dont_inherit=True)


class _FewExamples:
    """A pytest plugin: property tests draw few examples, the same ones each time."""

    def pytest_itemcollected(self, item: Any) -> None:
        import hypothesis

        function = getattr(item, "obj", None)
        if not getattr(function, "is_hypothesis_test", False):
            return
        own = getattr(function, "_hypothesis_internal_use_settings", None) or hypothesis.settings()
        function._hypothesis_internal_use_settings = hypothesis.settings(
            own,
            max_examples=min(own.max_examples, NUM_EXAMPLES),
            derandomize=True,
            database=None,
            deadline=None,
            phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        )


def main() -> None:
    """Run the tests on the module as it is, then once for each mutant."""
    job = json.load(sys.stdin)
    os.nice(job["niceness"])
    warnings.simplefilter("ignore")  # JAX warns about forks, but none of its threads runs yet
    sys.path.insert(0, str(pathlib.Path("tests/helpers").resolve()))
    importlib.import_module(
        "tests.conftest"
    )  # sets JAX up, as for all tests; it cannot be done twice
    module = pathlib.Path(job["module"])
    with tempfile.TemporaryDirectory() as folder:
        # Processes share compiled programs: a mutation changes few of them.
        jax = importlib.import_module("jax")
        jax.config.update("jax_compilation_cache_dir", f"{folder}/compiled")
        # With a limit, writers lock the folder.
        jax.config.update("jax_compilation_cache_max_size", 2**32)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        tester = _Tester(module, job["tests"], pathlib.Path(folder))
        first, later = _whole(tester, module.read_text())
        print(json.dumps({"seconds": later}), flush=True)
        limits = job["times"] * first, max(job["times"] * later, 5.0)
        for result in _mutants(tester, job["sources"], job["num_at_once"], limits):
            print(json.dumps(result), flush=True)


class _Tester:
    """The work of a child: run the tests on the module with a given source."""

    def __init__(self, module: pathlib.Path, tests: list[str], folder: pathlib.Path) -> None:
        self.name = ".".join(module.with_suffix("").parts)
        self.path = str(module.resolve())
        self.tests = tests
        self.folder = folder

    def serve(self, connection: Any, parents: Any, limits: Limits) -> None:
        """Receive sources and send the exit codes of pytest, until there are no more sources.

        Args:
            connection: connection to the parent.
            parents: the parent's end of the connection, which the child inherits by the fork.
            limits: processor seconds for a source, after which SIGPROF ends the process.
        """
        parents.close()  # else the child would outlive its parent
        os.setpgid(0, 0)
        pathlib.Path("/proc/self/oom_score_adj").write_text("1000")  # dies first without memory
        log = os.open(self.log(os.getpid()), os.O_CREAT | os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(log, stream)
        before = set(sys.modules)
        limit, later = limits
        with contextlib.suppress(EOFError):
            while True:
                source = connection.recv()
                os.ftruncate(log, 0)
                os.lseek(log, 0, os.SEEK_SET)
                signal.setitimer(signal.ITIMER_PROF, limit)
                start = time.process_time()
                code = self._run(source)
                signal.setitimer(signal.ITIMER_PROF, 0)
                seconds = time.process_time() - start
                connection.send((code, seconds, _foreign(set(sys.modules) - before)))
                for name in set(sys.modules) - before:
                    if _is_own(name):
                        del sys.modules[name]
                limit = later

    def log(self, pid: int) -> pathlib.Path:
        """Return the file to which a child writes pytest's output."""
        return self.folder / f"{pid}.log"

    def _run(self, source: str) -> int:
        import pytest

        mutated = MutatedModule(self.name, self.path, source)
        sys.meta_path.insert(0, mutated)
        code = pytest.main(
            [
                *("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "timeout=0"),
                "-Wignore::pytest.PytestAssertRewriteWarning",  # of modules imported already
                f"--basetemp={self.folder / f'temporary{os.getpid()}'}",
                *self.tests,
            ],
            plugins=[_FewExamples()],
        )
        sys.meta_path.remove(mutated)
        return int(code)


class _Child:
    """A testing process, and the mutant that it is testing."""

    def __init__(self, tester: _Tester, limits: Limits) -> None:
        context = multiprocessing.get_context("fork")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=tester.serve, args=(other, self.connection, limits))
        self.process.start()
        other.close()
        self.log = tester.log(self.process.pid)
        self.index = -1
        self.start = 0.0

    def give(self, index: int, source: str) -> None:
        self.index, self.start = index, time.monotonic()
        self.connection.send(source)

    def outcome(self) -> str | None:
        """Return the outcome of the mutant; None: the process has ended, see `end`."""
        try:
            code, *_ = self.connection.recv()
        except EOFError:
            return None
        # 1: a test failed; 2: the tests cannot be imported.
        if code not in (0, 1, 2):
            raise SystemExit(f"pytest ended with {code}:\n{self.log.read_text()}")
        return KILLED if code else SURVIVED

    def end(self) -> str:
        """End the process and its subprocesses; return the outcome of the mutant."""
        self.connection.close()
        self.process.join(timeout=2)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()
        late = self.process.exitcode in (-signal.SIGPROF, -signal.SIGKILL)
        return OUT_OF_TIME if late else KILLED


def _whole(tester: _Tester, source: str) -> tuple[float, float]:
    """Run the tests on the unchanged module, and import here the modules that they imported.

    Returns:
        Processor seconds of the first of three runs, in which JAX starts, and of the last run.
    """
    child = _Child(tester, (600.0, 600.0))
    taken = []
    for _ in range(3):
        child.give(-1, source)
        try:
            code, seconds, names = child.connection.recv()
        except EOFError:
            code = child.end()
        if code != 0:
            raise SystemExit(
                f"the tests fail without a mutation ({code}):\n{child.log.read_text()}"
            )
        taken.append(seconds)
    child.end()
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    return taken[0], taken[-1]


def _mutants(
    tester: _Tester, sources: list[str], num_at_once: int, limits: Limits
) -> Iterator[dict[str, Any]]:
    """Yield {"index": i, "outcome": ...} for each source when its tests are done.

    Args:
        tester: runs the tests.
        sources: sources of the mutated module.
        num_at_once: number of children.
        limits: processor seconds after which a mutant counts as found, for the first mutant of a
            child and for later ones. A mutant that only waits is ended after twenty times as long.
    """
    waiting = list(enumerate(sources))
    children: dict[Any, _Child] = {}
    while waiting or children:
        while waiting and len(children) < num_at_once:
            child = _Child(tester, limits)
            child.give(*waiting.pop(0))
            children[child.connection] = child
        for connection in multiprocessing.connection.wait(list(children), timeout=1.0):
            child = children[connection]
            outcome = child.outcome()
            if outcome is None:
                del children[connection]
                outcome = child.end()
            yield {"index": child.index, "outcome": outcome}
            if connection in children and waiting:
                child.give(*waiting.pop(0))
            elif connection in children:
                del children[connection]
                child.end()
        for connection, child in list(children.items()):
            if time.monotonic() - child.start > 20 * max(limits):
                del children[connection]
                child.end()
                yield {"index": child.index, "outcome": OUT_OF_TIME}


def _is_own(name: str) -> bool:
    file = getattr(sys.modules[name], "__file__", None)
    return name.split(".")[0] in OWN or str(file).startswith(str(pathlib.Path.cwd()))


def _foreign(names: set[str]) -> list[str]:
    """Leave out modules of this project, and those that pytest makes up."""
    has_file = {name for name in names if getattr(sys.modules[name], "__file__", None)}
    return sorted(name for name in has_file if not _is_own(name))


if __name__ == "__main__":
    main()
