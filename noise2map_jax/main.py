"""Train, evaluate and compare networks that predict maps.

    python -m noise2map_jax.main --config=CONFIG [--mode=MODE] [--workdir=DIR] [--config.FIELD=X]

CONFIG is a file such as configs/ss_buildings.py, or the name of a config that comes with the
project, such as ss_buildings. It may end in an argument: ablate_noise:cd. RUN/config.json is the
config of an earlier run. MODE is one of

    train      train a network, or go on with it
    eval       score the best checkpoint of a run on the test split
    baselines  score predictors that need no learning on the same split
    ablate     train the variants of a study and compare them on validation
    final      score the variants of a study on test, once
    compile    say whether a training step fits the devices, and how fast it can be
"""

import errno
import faulthandler
import gc
import logging as logging_of_python
import os
import pathlib
import sys

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from noise2map_jax import ablate, baselines, command_line, compilation, evaluate, final, train
from noise2map_jax.buckets.names import shown
from noise2map_jax.buckets.store import BucketError
from noise2map_jax.buckets.work_folder import work_folder
from noise2map_jax.command_name import command_name
from noise2map_jax.devices.checkpoint import SaveError
from noise2map_jax.devices.presence import require_devices
from noise2map_jax.errors import UserError

_TOPOLOGY = flags.DEFINE_string(
    "topology",
    "",
    "Of --mode=compile: a TPU slice, such as v5e:16x16, or the GPUs of a machine, such as h100:8; "
    "default: what is here.",
)
_NUM_SLICES = flags.DEFINE_integer(
    "num_slices", 1, "Of --mode=compile: how many such slices or machines."
)
_FIT = flags.DEFINE_bool("fit", False, "Of --mode=compile: search the largest batch that fits.")

MODES = {
    "train": train.train,
    "eval": lambda config, workdir: evaluate.evaluate(config, workdir, _given_fields()),
    "baselines": lambda config, workdir: baselines.baselines(config, workdir, _given_fields()),
    "ablate": ablate.ablate,
    "final": final.final,
    "compile": lambda config, workdir: compilation.compile_config(
        config, workdir, _TOPOLOGY.value, _NUM_SLICES.value, _FIT.value
    ),
}

_CONFIG = config_flags.DEFINE_config_file("config", None, "Path or name of an experiment.")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Work folder, also s3://BUCKET/PATH or gs://...; default runs/<config>."
)
_MODE = flags.DEFINE_enum("mode", "train", list(MODES), "What to do.")
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "One of several processes: found out by itself on TPU pods and Slurm."
)
_COORDINATOR = flags.DEFINE_string("coordinator_address", None, "host:port of process 0.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Number of processes.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Number of this process, from 0.")


HELP = ("help", "helpshort", "helpfull", "helpxml")
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
HEARTBEAT_TIMEOUT = 30  # seconds without a sign of life after which a process counts as gone


def main(argv: list[str]) -> None:
    """Start JAX and call the program."""
    if len(argv) > 1:
        raise UserError(f"unexpected argument {argv[1]!r}; options begin with --")
    if _CONFIG.value is None:
        raise UserError(
            "--config is missing; for example --config=configs/demo_ss.py or --config=demo_ss"
        )
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.ERROR)  # libraries log dozens of lines a checkpoint
        # Each task of a save that failed would log a stack of its own; the failure is told once.
        logging_of_python.getLogger("asyncio").setLevel(logging_of_python.CRITICAL)
    if _NUM_PROCESSES.value is not None and not _COORDINATOR.value:
        raise UserError("--num_processes needs --coordinator_address=HOST:PORT of process 0")
    if _MODE.value != "compile" and (_TOPOLOGY.value or _NUM_SLICES.value != 1 or _FIT.value):
        raise UserError("--topology, --num_slices and --fit are of --mode=compile")
    workdir = _WORKDIR.value or _usual_workdir()
    if _DISTRIBUTED.value or _COORDINATOR.value:
        jax.distributed.initialize(
            _COORDINATOR.value,
            _NUM_PROCESSES.value,
            _PROCESS_ID.value,
            heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT,
        )
        # When another process is gone JAX says so and aborts; stacks of all threads would hide it.
        faulthandler.disable()
    require_devices()
    with work_folder(workdir) as folder:
        MODES[_MODE.value](_CONFIG.value, folder)


def _usual_workdir() -> str:
    """Name the work folder after the config, where --workdir is not given."""
    path, _, argument = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")
    if path != str(command_line.RUN_CONFIG):
        return f"runs/{pathlib.Path(path).stem}" + (f"_{argument}" if argument else "")
    if _MODE.value in command_line.OF_A_RUN:
        return argument
    raise UserError(
        f"--config={argument}/config.json is the config of a run: give --workdir=DIR, a new folder "
        f"for another run like it, or {argument} to go on with that one"
    )


def _given_fields() -> frozenset[str]:
    """Full names of the fields that were given one by one, beside the config file."""
    return frozenset(config_flags.get_override_values(flags.FLAGS["config"]))


def run() -> None:
    """Call `main`; a user's mistake is one line on stderr and exit code 2."""
    _describe_script()
    # Tracing makes millions of small objects that stay: looking through them after every 700 new
    # ones, as Python does, takes a tenth of the time until the first step.
    gc.set_threshold(50_000, 20, 100)
    try:
        app.run(main, flags_parser=command_line.parse)
    except SystemExit as end:
        asked = {"-h", "-?", *(dashes + name for dashes in ("-", "--") for name in HELP)}
        # absl ends with 1 after it has helped.
        raise SystemExit(0 if asked & set(sys.argv[1:]) else end.code) from None
    except (UserError, FloatingPointError) as error:
        _fail(shown(str(error)), alone=isinstance(error, (SaveError, BucketError)))
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        where = f" ({error.filename})" if error.filename else ""
        _fail(f"{error.strerror}{where}; make room, and run again", alone=True)


def _describe_script() -> None:
    """Let the installed script show what this module says: absl's --help asks `__main__` alone."""
    command = command_name("noise2map", "noise2map_jax.main")
    sys.modules["__main__"].__doc__ = (__doc__ or "").replace(
        "python -m noise2map_jax.main", command
    )
    for flag in flags.FLAGS.get_flags_for_module(__name__):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def _fail(message: str, *, alone: bool) -> None:
    """Say what is wrong and end with code 2; `alone`: for a reason that is this process's own."""
    if not alone:
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)
    # At once: JAX would wait for other processes, as they do for this one, which so notice that it
    # is gone. Threads that were saving would have the last word: they lose stderr first.
    try:
        stderr = os.dup(2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        # Begins a line: a thread may have been in the middle of one of its own.
        os.write(stderr, f"\nerror: {message}\n".encode())
        sys.stdout.flush()
    finally:  # also where what is printed goes to the same full disk
        os._exit(2)


if __name__ == "__main__":
    run()
