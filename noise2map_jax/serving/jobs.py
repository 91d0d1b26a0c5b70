"""One map at a time, and a bounded number of them that wait."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class QueueFull(Exception):
    """As many jobs as may wait do wait."""


class Stopped(Exception):
    """A job was given up: its time is over, or nobody waits for it."""


class Job:
    """A piece of work that looks now and then whether it should go on.

    Attributes:
        result: the outcome.
    """

    def __init__(self, seconds: float):
        """Make a job that may take so many seconds once it has begun."""
        self.result: Future[Any] = Future()
        self._seconds = seconds
        self._deadline = float("inf")
        self._given_up = threading.Event()

    def begin(self) -> None:
        """Start the clock."""
        self._deadline = time.monotonic() + self._seconds
        self.check()

    def give_up(self) -> None:
        """Ask the job to stop; see `JobQueue.give_up`."""
        self._given_up.set()

    def check(self, *_: Any) -> None:
        """Go on, or raise.

        Raises:
            Stopped: time is over, or nobody waits.
        """
        if self._given_up.is_set():
            raise Stopped("nobody waits for this map")
        if time.monotonic() > self._deadline:
            raise Stopped(f"the map takes longer than {self._seconds:g} s; send a smaller image")


class JobQueue:
    """Does jobs one after another in a thread: the devices serve one map at a time."""

    def __init__(self, most_waiting: int, job_seconds: float):
        self._most_waiting, self._job_seconds = most_waiting, job_seconds
        self._thread = ThreadPoolExecutor(1)
        self._lock = threading.Lock()
        self._turns: dict[Job, Future[None]] = {}  # of the jobs that are not finished

    @property
    def waiting(self) -> int:
        """Jobs that have not begun."""
        return max(len(self._turns) - 1, 0)

    def submit(self, work: Callable[[Job], Any]) -> Job:
        """Do some work when its turn comes.

        Args:
            work: called with its job, whose `check` it calls now and then.

        Raises:
            QueueFull: too many jobs wait.
        """
        with self._lock:
            if len(self._turns) > self._most_waiting:
                raise QueueFull
            job = Job(self._job_seconds)
            self._turns[job] = self._thread.submit(self._do, job, work)
        return job

    def give_up(self, job: Job) -> None:
        """End a job that nobody waits for: soon if it has begun, otherwise at once."""
        job.give_up()
        with self._lock:
            turn = self._turns.get(job)
            if turn is None or not turn.cancel():
                return
            del self._turns[job]
        job.result.set_exception(Stopped("nobody waits for this map"))

    def close(self) -> None:
        """End: the job that has begun is done, the others are not."""
        self._thread.shutdown(cancel_futures=True)

    def _do(self, job: Job, work: Callable[[Job], Any]) -> None:
        try:
            job.begin()
            job.result.set_result(work(job))
        except BaseException as error:
            job.result.set_exception(error)
        finally:
            with self._lock:
                del self._turns[job]
