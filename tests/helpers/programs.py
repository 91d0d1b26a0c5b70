"""Runs whole programs by their command line."""

import importlib.metadata
import importlib.util
import json
import os
import pathlib
import socket
import subprocess
import sys

import pytest
import warm_start

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed (extra tpu)"
)
# The compiler for GPUs has a folder of its own: JAX would load it in every test.
CUDA_COMPILE = pathlib.Path(sys.prefix) / "cuda-compile"
needs_cuda_compile = pytest.mark.skipif(
    not CUDA_COMPILE.is_dir(),
    reason=f"there is no compiler for GPUs in {CUDA_COMPILE}; see .ci/run",
)
ROOT = pathlib.Path(__file__).parents[2]
HELPERS = ROOT / "tests" / "helpers"
SHARED = ROOT.parent / "shared"  # beside a developer's checkout: imagery, golden values
# Options that turn the thin config into a denoiser.
DENOISE = (
    "--config.task=denoise",
    "--config.data.classes=()",
    "--config.train.ema_decay=0.9",
    "--config.eval.num_timestep_bands=4",
    "--config.eval.num_samples=3",
    "--config.eval.num_sampling_steps=3",
)


# Tests and programs run for seconds, so fast compiling matters more than fast programs.
EFFORT = "jax_exec_time_optimization_effort"  # which JAX 0.12 does not have
COMPILE_FAST = "--xla_backend_optimization_level=0"
# Options of a function of which two ways to compute it are compared by their bits.
FUSED = {}
if importlib.metadata.version("jaxlib") < "0.11":  # which knows the flag no more
    COMPILE_FAST += " --xla_cpu_use_fusion_emitters=false"
    FUSED["xla_cpu_use_fusion_emitters"] = True


def environment(cache, num_devices=1, packages=()):
    """Return the environment of programs under test, which share their compiled steps.

    `packages` are folders with further packages.
    """
    import jax  # not before flags of XLA are set

    paths = (HELPERS / "without_torch", HELPERS, ROOT, *packages)

    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        # A limit makes JAX lock the folder, which several programs use at once.
        "JAX_COMPILATION_CACHE_MAX_SIZE": str(2**32),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        **(
            {"JAX_EXEC_TIME_OPTIMIZATION_EFFORT": str(getattr(jax.config, EFFORT))}
            if hasattr(jax.config, EFFORT)
            else {}
        ),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={num_devices} {COMPILE_FAST}",
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONWARNINGS": "ignore",
    }


def run(arguments, env, expect=0, program=warm_start.MAIN):
    """Run a program to its end, and return its output."""
    done = warm_start.run(list(map(str, arguments)), env, ROOT, timeout=600, program=program)
    assert done.returncode == expect, f"exit code {done.returncode}\n{done.stderr[-3000:]}"
    return done


def start(arguments, env, program=warm_start.MAIN):
    """Start a program, to be used as a `subprocess.Popen` of which stderr is stdout."""
    return warm_start.start(list(map(str, arguments)), env, ROOT, program)


def start_together(arguments, env, num_processes, of_the_last=()):
    """Start the processes of one run, which find each other over loopback.

    `of_the_last` are further options of the last process.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return [
        start(
            (
                *arguments,
                f"--coordinator_address=127.0.0.1:{port}",
                f"--num_processes={num_processes}",
                f"--process_id={i}",
                *(of_the_last if i == num_processes - 1 else ()),
            ),
            env,
        )
        for i in range(num_processes)
    ]


def read_together(processes, timeout=300):
    """Wait for processes to end, and return the output of each."""
    return [process.communicate(timeout)[0] for process in processes]


def run_together(arguments, env, num_processes):
    """Run several processes to their end, and return the output of each."""
    processes = start_together(arguments, env, num_processes)
    outputs = read_together(processes)
    codes = [process.returncode for process in processes]
    assert codes == [0] * num_processes, outputs[0][-3000:]
    return outputs


def data_prep(*arguments):
    subprocess.run(
        [sys.executable, "-m", "data_prep", *arguments], cwd=ROOT, check=True, capture_output=True
    )


def metrics(workdir, name="train/loss"):
    """Return the values of a metric by step."""
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line[name] for line in lines if name in line}
