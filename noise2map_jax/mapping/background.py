"""Reading ahead and writing behind, so that files and devices work at the same time."""

import collections
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self, TypeVar

T = TypeVar("T")
_END = object()


def read_ahead(items: Iterator[T], depth: int) -> Iterator[T]:
    """Iterate in a thread of its own, up to `depth` items ahead of what is asked for.

    Errors are raised where the item is asked for.
    """
    with ThreadPoolExecutor(1) as thread:
        pending = collections.deque(thread.submit(next, items, _END) for _ in range(depth))
        while (item := pending.popleft().result()) is not _END:
            pending.append(thread.submit(next, items, _END))
            yield item  # type: ignore[misc]


class WriteBehind:
    """Calls a function in a thread of its own, in order; at most `depth` calls wait."""

    def __init__(self, function: Callable[..., Any], depth: int):
        self._function, self._depth = function, depth
        self._thread = ThreadPoolExecutor(1)
        self._pending: collections.deque[Future[Any]] = collections.deque()

    def __call__(self, *arguments: Any) -> None:
        """Call the function later; an error of an earlier call is raised here or at the end."""
        while len(self._pending) >= self._depth:
            self._pending.popleft().result()
        self._pending.append(self._thread.submit(self._function, *arguments))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        self._thread.shutdown(cancel_futures=kind is not None)
        while kind is None and self._pending:
            self._pending.popleft().result()
