"""Test mutants of a module: a warm process that forks one child a mutant.

`python -m benchmarks.mutant_tests` reads a job from its standard input and writes a line of JSON
for each mutant to its standard output. JAX is imported once and before the fork, but computes
nothing there: its threads would not live in the children. Files are never changed: a child
imports the mutated source in place of the module.
"""

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from typing import Any

OWN = ("noise2map_jax", "data_prep", "benchmarks", "tests", "configs")
KILLED = "killed"
SURVIVED = "survived"
OUT_OF_TIME = "out of time"
NUM_EXAMPLES = 5  # of hypothesis, at most; without shrinking


class MutatedModule(importlib.abc.MetaPathFinder):
    """Finds one module, with other source than its file's."""

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
    """A plugin of pytest: property tests draw few examples, the same ones each time."""

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
    """Run the tests once as they are, then once for each mutant."""
    job = json.load(sys.stdin)
    os.nice(job["niceness"])
    path = pathlib.Path(job["module"]).resolve()
    name = ".".join(pathlib.Path(job["module"]).with_suffix("").parts)
    warnings.simplefilter("ignore")  # JAX warns of forks; no thread of its runs yet
    sys.path.insert(0, str(pathlib.Path("tests").resolve()))
    importlib.import_module("conftest")  # sets JAX up, as for all tests
    with tempfile.TemporaryDirectory() as folder:
        # What one mutant compiled, the next ones read: most of it is not what was changed.
        jax = importlib.import_module("jax")
        jax.config.update("jax_compilation_cache_dir", f"{folder}/compiled")
        jax.config.update("jax_compilation_cache_max_size", 2**32)  # a limit: a lock for writers
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        runs = _Runs(name, path, job["tests"], pathlib.Path(folder))
        seconds = runs.whole()
        print(json.dumps({"seconds": seconds}), flush=True)
        for result in runs.mutants(job["sources"], job["num_at_once"], job["times"] * seconds):
            print(json.dumps(result), flush=True)


class _Runs:
    def __init__(
        self, name: str, path: pathlib.Path, tests: list[str], folder: pathlib.Path
    ) -> None:
        self.name, self.path, self.tests, self.folder = name, path, tests, folder

    def whole(self) -> float:
        """Run the tests of the module as it is, and import here what they imported.

        Returns:
            The processor seconds that the second of two runs took.
        """
        names = self.folder / "names"
        for _ in range(2):
            child = self._fork(self.path.read_text(), -1, 600.0, names)
            _, status, usage = os.wait4(child, 0)
            if os.waitstatus_to_exitcode(status) != 0:
                raise SystemExit(
                    f"the tests of {self.name} fail without a mutation:\n{self._log(-1)}"
                )
            for imported in json.loads(names.read_text()):
                with contextlib.suppress(ImportError):
                    importlib.import_module(imported)
        return usage.ru_utime + usage.ru_stime

    def mutants(self, sources: list[str], num_at_once: int, limit: float) -> Any:
        """Yield {"index": i, "outcome": ...} for each source as it is done.

        Args:
            sources: of the mutated module.
            num_at_once: how many children run at a time.
            limit: processor seconds after which a mutant counts as found; a child that waits
                for something is ended after ten times as long.
        """
        limit = max(limit, 5.0)
        waiting = list(enumerate(sources))
        running: dict[int, tuple[int, float]] = {}
        while waiting or running:
            while waiting and len(running) < num_at_once:
                index, source = waiting.pop(0)
                running[self._fork(source, index, limit)] = index, time.monotonic()
            child, status, _ = os.wait4(-1, os.WNOHANG)
            if child:
                index, _ = running.pop(child)
                yield {"index": index, "outcome": self._outcome(index, status)}
                continue
            for late, (_, start) in running.items():
                if time.monotonic() - start > 10 * limit:
                    os.killpg(late, signal.SIGXCPU)
            time.sleep(0.02)

    def _outcome(self, index: int, status: int) -> str:
        code = os.waitstatus_to_exitcode(status)
        if code in (-signal.SIGXCPU, -signal.SIGKILL):
            return OUT_OF_TIME
        # 1: a test failed; 2: the tests cannot be imported. By a signal: the process broke down.
        if code in (1, 2) or code < 0:
            return KILLED
        if code != 0:
            raise SystemExit(f"pytest ended with {code}:\n{self._log(index)}")
        return SURVIVED

    def _log(self, index: int) -> str:
        return (self.folder / f"{index}.log").read_text()

    def _fork(
        self, source: str, index: int, limit: float, names: pathlib.Path | None = None
    ) -> int:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                code = self._child(source, index, limit, names)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        return child

    def _child(self, source: str, index: int, limit: float, names: pathlib.Path | None) -> int:
        """Run pytest on a module with this source; return pytest's exit code."""
        import pytest

        os.setpgid(0, 0)
        soft = int(limit) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (soft, soft + 5))
        pathlib.Path("/proc/self/oom_score_adj").write_text("1000")  # what takes all memory ends
        log = os.open(self.folder / f"{index}.log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        before = set(sys.modules)
        sys.meta_path.insert(0, MutatedModule(self.name, str(self.path), source))
        code = pytest.main(
            [
                *("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "timeout=0"),
                "-Wignore::pytest.PytestAssertRewriteWarning",  # of what is imported beforehand
                f"--basetemp={self.folder / f'temporary{index}'}",
                *self.tests,
            ],
            plugins=[_FewExamples()],
        )
        if names is not None:
            names.write_text(json.dumps(_foreign(set(sys.modules) - before)))
        return int(code)


def _foreign(names: set[str]) -> list[str]:
    """Leave out what is of this project, by name and by folder, and what pytest makes up."""
    here = str(pathlib.Path.cwd())
    found = []
    for name in sorted(names):
        file = getattr(sys.modules[name], "__file__", None)
        if name.split(".")[0] not in OWN and file and not str(file).startswith(here):
            found.append(name)
    return found


if __name__ == "__main__":
    main()
