"""What processes of the benchmark `accelerator` may do; they import this module by its name."""

import os
import signal
import time

from benchmarks.accelerator.job import NotPossible, OutOfTime


def finds_two(argument, send):
    send({"argument": argument})
    send({"process": os.getpid()})


def has_no_time(argument, send):
    send({"so": "far"})
    raise OutOfTime("batches of 8 and more")


def cannot(argument, send):
    raise NotPossible("there is no such device")


def fails(argument, send):
    raise ValueError("the first line\nthe second line")


def is_killed(argument, send):
    send({"so": "far"})
    os.kill(os.getpid(), signal.SIGKILL)


def hangs(argument, send):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    send({"process": os.getpid()})
    time.sleep(600)
