"""Calls programs in a process that has imported them already: a start takes no second.

A server imports the programs once and forks for each call. JAX begins to compute in the child
alone, so number of devices and flags of XLA are the child's own.
"""

import atexit
import importlib
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading

MAIN, PREDICT, SERVE = (f"noise2map_jax.{name}" for name in ("main", "predict", "serve"))
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([MAIN, PREDICT, "noise2map_jax.reports.report", "thin_config"])
# Of the environment: fields of JAX's config, which JAX reads at its import.
FIELDS = {
    "JAX_PLATFORMS": ("jax_platforms", str),
    "JAX_COMPILATION_CACHE_DIR": ("jax_compilation_cache_dir", str),
    "JAX_COMPILATION_CACHE_MAX_SIZE": ("jax_compilation_cache_max_size", int),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": (
        "jax_persistent_cache_min_compile_time_secs",
        float,
    ),
    "JAX_EXEC_TIME_OPTIMIZATION_EFFORT": ("jax_exec_time_optimization_effort", float),
    "JAX_DEFAULT_MATMUL_PRECISION": ("jax_default_matmul_precision", str),
}


class Started:
    """A program that was started, to be used as a `subprocess.Popen`."""

    def __init__(self, program, arguments, env, folder, *, together):
        self.arguments = arguments
        self._scratch = tempfile.TemporaryDirectory()
        out, err = (str(pathlib.Path(self._scratch.name, name)) for name in ("out", "err"))
        self._pipes = [_Pipe(path) for path in ((out,) if together else (out, err))]
        call = (program, arguments, env, str(folder), out, out if together else err)
        # Ended with the tests, should one of them have failed half-way.
        self._process = CONTEXT.Process(target=_call, args=call, daemon=True)
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        if self.poll() is None:
            self.send_signal(signal.SIGKILL)

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.arguments, timeout)
        for pipe in self._pipes:
            pipe.close()
        self._scratch.cleanup()
        return self.returncode

    def communicate(self, timeout=None):
        """Wait for the end; return what was printed."""
        self.wait(timeout)
        return self._pipes[0].text, self._pipes[-1].text


class _Pipe:
    """A named pipe that is read all the time: a program with a full pipe would stop.

    A file would not do, as its size may be limited by a test.
    """

    def __init__(self, path):
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._writer = os.open(path, os.O_WRONLY)  # there is no end before it is closed
        os.set_blocking(reader, True)
        self.text = ""
        self._thread = threading.Thread(target=self._read, args=(reader,), daemon=True)
        self._thread.start()

    def _read(self, reader):
        with open(reader, errors="replace") as pipe:
            self.text = pipe.read()

    def close(self):
        """Read to the end; to be called when the program has ended."""
        if self._thread.is_alive():
            os.close(self._writer)
            self._thread.join()


def start(arguments, env, folder, program=MAIN):
    """Start a program; what it prints to stderr is among that of stdout."""
    return Started(program, arguments, env, folder, together=True)


def run(arguments, env, folder, timeout, program=MAIN):
    """Call a program; return what `subprocess.run` would."""
    process = Started(program, arguments, env, folder, together=False)
    try:
        printed = process.communicate(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(arguments, process.returncode, *printed)


def _call(program, arguments, env, folder, *files):
    for number, path in enumerate(files, start=1):
        os.dup2(os.open(path, os.O_WRONLY), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.path[:0] = env["PYTHONPATH"].split(os.pathsep)
    sys.argv = [program, *arguments]
    import warnings

    import jax

    warnings.resetwarnings()
    warnings.simplefilter(env["PYTHONWARNINGS"])
    for variable, (field, kind) in FIELDS.items():
        if variable in env:
            jax.config.update(field, kind(env[variable]))
    module = importlib.import_module(program)
    try:
        if program == MAIN:
            module.run()
        else:
            sys.exit(module.main())
    finally:
        atexit._run_exitfuncs()  # as at the end of Python: JAX leaves the other processes
