"""Command line: `python -m noise2map_jax.main --config=configs/demo_ss.py [--mode=...]`.

Kept short: everything else can be imported.
"""

import errno
import faulthandler
import logging as logging_of_python
import os
import pathlib
import sys
import traceback

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from noise2map_jax import ablate, baselines, compilation, evaluate, final, train
from noise2map_jax.devices.checkpoint import SaveError
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.run_config import CONFIG

_TOPOLOGY = flags.DEFINE_string(
    "topology", "", "Of --mode=compile: a TPU slice, such as v5e:16x16; default: what is here."
)
_NUM_SLICES = flags.DEFINE_integer("num_slices", 1, "Of --mode=compile: how many such slices.")

MODES = {
    "train": train.train,
    "eval": lambda config, workdir: evaluate.evaluate(config, workdir, _given_fields()),
    "baselines": lambda config, workdir: baselines.baselines(config, workdir, _given_fields()),
    "ablate": ablate.ablate,
    "final": final.final,
    "compile": lambda config, workdir: compilation.compile_step(
        config, workdir, _TOPOLOGY.value, _NUM_SLICES.value
    ),
}

RUN_CONFIG = pathlib.Path(__file__).with_name("experiment") / "config_of_run.py"
OF_A_RUN = ("eval", "baselines")  # what can be done with the config that a run keeps

_CONFIG = config_flags.DEFINE_config_file("config", None, "An experiment in configs/.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Work folder; default runs/<config>.")
_MODE = flags.DEFINE_enum("mode", "train", list(MODES), "What to do.")
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "One of several processes: found out by itself on TPU pods and Slurm."
)
_COORDINATOR = flags.DEFINE_string("coordinator_address", None, "host:port of process 0.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Number of processes.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Number of this process, from 0.")


DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
HEARTBEAT_TIMEOUT = 30  # seconds without a sign of life after which a process counts as gone


def main(argv: list[str]) -> None:
    """Start JAX and call the program."""
    if len(argv) > 1:
        raise UserError(f"unexpected argument {argv[1]!r}; options begin with --")
    if _CONFIG.value is None:
        raise UserError("--config is missing; for example --config=configs/demo_ss.py")
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.ERROR)  # libraries log dozens of lines a checkpoint
        # Each task of a save that failed would log a stack of its own; the failure is told once.
        logging_of_python.getLogger("asyncio").setLevel(logging_of_python.CRITICAL)
    path, _, argument = _config_path().partition(":")
    name = pathlib.Path(path).stem + (f"_{argument}" if argument else "")
    if _NUM_PROCESSES.value is not None and not _COORDINATOR.value:
        raise UserError("--num_processes needs --coordinator_address=HOST:PORT of process 0")
    if _MODE.value != "compile" and (_TOPOLOGY.value or _NUM_SLICES.value != 1):
        raise UserError("--topology and --num_slices are of --mode=compile")
    workdir = _WORKDIR.value or f"runs/{name}"
    if "://" in workdir or pathlib.Path(workdir).is_file():
        raise UserError(f"--workdir={workdir} is no folder; expected a local or mounted path")
    if _DISTRIBUTED.value or _COORDINATOR.value:
        jax.distributed.initialize(
            _COORDINATOR.value,
            _NUM_PROCESSES.value,
            _PROCESS_ID.value,
            heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT,
        )
        # When another process is gone JAX says so and aborts; stacks of all threads would hide it.
        faulthandler.disable()
    MODES[_MODE.value](_CONFIG.value, pathlib.Path(workdir))


def _given_fields() -> frozenset[str]:
    """Full names of the fields that were given one by one, beside the config file."""
    return frozenset(config_flags.get_override_values(flags.FLAGS["config"]))


def _config_path() -> str:
    path = config_flags.get_config_filename(flags.FLAGS["config"])
    if not pathlib.Path(path.split(":")[0]).is_file():
        raise UserError(_no_config(path))
    return path


def _no_config(path: str) -> str:
    return f"no config file {path!r}; configs/ holds those that come with the project"


def _parse_flags(argv: list[str]) -> list[str]:
    """Parse, and name a field or file that does not exist in one line."""
    argv = _with_config(argv)
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        raise UserError(str(error)) from None
    except SyntaxError as error:
        raise UserError(f"{error.filename}, line {error.lineno}: {error.msg}") from None
    except (AttributeError, KeyError) as error:
        config = _option(argv, "--config").split(":")[0]
        lines = [
            f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == config
        ]
        if lines:  # raised by the config's own code
            raise UserError(
                f"{config}, line {lines[-1]}: {type(error).__name__}: {error}"
            ) from None
        field = str(error).strip("\"'")
        given = next(
            (a for a in argv if any(p in field.split() for p in a.split("=")[0].split(".")[1:])),
            next((a for a in argv if a.split("=")[0].split(".")[-1] in field), field),
        )
        raise UserError(
            f"{given}: no such config field ({field}); configs/default.py lists them"
        ) from None
    except OSError:  # raised where an option overrides a field of a config that is not there
        raise UserError(_no_config(_option(argv, "--config"))) from None


def _with_config(argv: list[str]) -> list[str]:
    """Let what is done with a run take the config that the run keeps, where none is given."""
    workdir = _option(argv, "--workdir")
    if _option(argv, "--mode") not in OF_A_RUN or not (pathlib.Path(workdir) / CONFIG).is_file():
        return argv
    if any(a.partition("=")[0] == "--config" for a in argv):
        return argv
    return [*argv[:1], f"--config={RUN_CONFIG}:{workdir}", *argv[1:]]


def _option(argv: list[str], name: str) -> str:
    """Return the last value of an option on the command line, or an empty string."""
    values = [a.partition("=")[2] for a in argv if a.startswith(f"{name}=")]
    return values[-1] if values else ""


def run() -> None:
    """Call `main`; a user's mistake is one line on stderr and exit code 2."""
    try:
        app.run(main, flags_parser=_parse_flags)
    except (UserError, FloatingPointError) as error:
        _fail(str(error), alone=isinstance(error, SaveError))
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        where = f" ({error.filename})" if error.filename else ""
        _fail(f"{error.strerror}{where}; make room, and run again", alone=True)


def _fail(message: str, *, alone: bool) -> None:
    """Say what is wrong and end with code 2; `alone`: for a reason that is this process's own."""
    if not alone:
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)
    # At once: JAX would wait for other processes, as they do for this one, which so notice that it
    # is gone; and threads that were saving would have the last word.
    try:
        # One write that begins a line: a thread may be in the middle of one of its own.
        sys.stderr.write(f"\nerror: {message}\n")
        sys.stderr.flush()
        sys.stdout.flush()
    finally:  # also where what is printed goes to the same full disk
        os._exit(2)


if __name__ == "__main__":
    run()
