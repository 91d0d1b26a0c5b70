"""Calls the main program in a process that has imported it already: a start takes no second.

A server imports the program once and forks for each call. JAX begins to compute in the child alone,
so number of devices and flags of XLA are the child's own.
"""

import contextlib
import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile

PRELOAD = ["noise2map_jax.main", "noise2map_jax.reports.report", "thin_config"]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(PRELOAD)


def run(arguments, env, folder, timeout):
    """Call the main program; return what `subprocess.run` would."""
    with tempfile.TemporaryDirectory() as scratch:
        files = [str(pathlib.Path(scratch, name)) for name in ("stdout", "stderr")]
        process = CONTEXT.Process(target=_call, args=(arguments, env, str(folder), *files))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(arguments, timeout)
        stdout, stderr = (pathlib.Path(path).read_text() for path in files)
        return subprocess.CompletedProcess(arguments, process.exitcode, stdout, stderr)


def _call(arguments, env, folder, *files):
    for number, path in enumerate(files, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.path[:0] = env["PYTHONPATH"].split(os.pathsep)
    sys.argv = ["noise2map_jax.main", *arguments]
    import warnings

    import jax

    from noise2map_jax import main

    warnings.resetwarnings()
    warnings.simplefilter(env["PYTHONWARNINGS"])
    # JAX read these at its import.
    jax.config.update("jax_platforms", env["JAX_PLATFORMS"])
    jax.config.update("jax_compilation_cache_dir", env["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_compilation_cache_max_size", int(env["JAX_COMPILATION_CACHE_MAX_SIZE"]))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    effort = float(env["JAX_EXEC_TIME_OPTIMIZATION_EFFORT"])
    jax.config.update("jax_exec_time_optimization_effort", effort)
    with contextlib.suppress(KeyError):
        jax.config.update("jax_default_matmul_precision", env["JAX_DEFAULT_MATMUL_PRECISION"])
    main.run()
