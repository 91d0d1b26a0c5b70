"""Runs a function in a process of its own: it can be stopped, and leaves the device free."""

import dataclasses
import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.accelerator.job import NotPossible, OutOfTime

# The server imports everything once and forks for each call. It must not have begun to use a
# device: a process that is forked from one that has cannot.
CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = ["benchmarks.accelerator.parts"]
SECONDS_TO_END = 5.0  # from the request to end until the process is killed

MEASURED, NO_TIME, NOT_POSSIBLE, FAILED = "measured", "no time left", "not possible", "failed"
Send = Callable[[dict[str, Any]], None]


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a call ended.

    Attributes:
        state: `MEASURED`, `NO_TIME`, `NOT_POSSIBLE` or `FAILED`.
        reason: one line; empty if it was measured.
        trace: where it failed, for those who mend it.
    """

    state: str
    reason: str = ""
    trace: str = ""


def call(
    function: Callable[[Any, Send], None], argument: Any, deadline: float, receive: Send
) -> Ending:
    """Call a function in a process of its own, and wait for its end.

    Args:
        function: of a module; called with the argument and with what sends dictionaries.
        argument: to be pickled.
        deadline: when the process is stopped, by the clock `time.monotonic`.
        receive: called with each dictionary that is sent.
    """
    CONTEXT.set_forkserver_preload(PRELOADED)
    here, there = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_run, args=(there, function, argument))
    process.start()
    there.close()
    try:
        return _follow(here, process, deadline, receive)
    finally:
        here.close()
        process.join(0 if process.is_alive() else None)
        if process.is_alive():
            process.terminate()
            process.join(SECONDS_TO_END)
        if process.is_alive():
            process.kill()
            process.join()


def _follow(here: Connection, process: Any, deadline: float, receive: Send) -> Ending:
    while here.poll(max(0.0, deadline - time.monotonic())):
        try:
            message = here.recv()
        except EOFError:
            process.join()
            code = process.exitcode
            how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
            killed = "; the machine may lack memory" if code == -9 else ""
            return Ending(FAILED, f"its process ended {how}{killed}")
        if isinstance(message, Ending):
            process.join(SECONDS_TO_END)
            return message
        receive(message)
    return Ending(NO_TIME, "stopped in the middle of a measurement")


def _run(there: Connection, function: Callable[[Any, Send], None], argument: Any) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        function(argument, there.send)
        ending = Ending(MEASURED)
    except OutOfTime as error:
        ending = Ending(NO_TIME, str(error))
    except NotPossible as error:
        ending = Ending(NOT_POSSIBLE, str(error))
    except Exception as error:  # whatever it is: the other parts go on
        ending = Ending(FAILED, one_line(error), traceback.format_exc())
    there.send(ending)


def _end_with_parent() -> None:
    """End when the command was killed: the next call must not measure beside this process."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def one_line(error: BaseException) -> str:
    """Return the first line of what an error says, with its kind."""
    said = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {said[0][:200]}".rstrip(": ")
