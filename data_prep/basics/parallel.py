"""Work spread over processes, results in order."""

import itertools
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from data_prep.basics.errors import UserError
from data_prep.basics.progress import progress_bar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Item], Result],
    items: Collection[Item],
    *,
    num_workers: int,
    description: str,
    unit: str,
) -> Generator[Result, None, None]:
    """Yield function(item) for each item, in order, under a progress bar.

    Args:
      function: Picklable where more than one process works.
      items: What to work on.
      num_workers: Number of processes; 1 works in this one.
      description: What the progress bar says is being done.
      unit: What the progress bar counts.

    Yields:
      The results. At most a few per worker are held, so memory does not grow with the items.
    """
    with progress_bar(len(items), description, unit) as bar:
        for result in _results(function, iter(items), min(num_workers, len(items))):
            bar.update()
            yield result


def _end_with_parent() -> None:
    """Watch the parent: a worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _results(
    function: Callable[[Item], Result], items: Iterator[Item], num_workers: int
) -> Iterator[Result]:
    if num_workers <= 1:
        yield from map(function, items)
        return
    # A forked child of a process that already runs threads (TFDS and ArrayRecord start some) may
    # hang; a spawned one cannot.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_end_with_parent)
    pending: deque[Future[Result]] = deque()
    try:
        for item in itertools.islice(items, 2 * num_workers):
            pending.append(pool.submit(function, item))
        while pending:
            result = pending.popleft().result()
            for item in itertools.islice(items, 1):
                pending.append(pool.submit(function, item))
            yield result
    except BrokenProcessPool as error:
        raise UserError(
            f"one of {num_workers} worker processes died (out of memory?): try fewer with"
            " --num_workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
