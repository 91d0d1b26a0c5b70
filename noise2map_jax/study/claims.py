"""Which process works at which part of a study, where several share the study's folder.

A claim is a lock on a file. The system gives it back when a process ends, however it ends, so the
parts of a killed process are free for others.
"""

import contextlib
from collections.abc import Iterator

import filelock
import jax

from noise2map_jax.buckets.names import address_of
from noise2map_jax.study.study import Study

FOLDER = "claims"  # in the study's folder: a file for each part


@contextlib.contextmanager
def claim(study: Study, *parts: str, wait: bool) -> Iterator[bool]:
    """Hold parts of a study, all or none, while no other process does.

    Processes of one JAX cluster work at all parts together, and folders in object storage are
    copied by each process: there, every part is held.

    Args:
        study: the study.
        parts: names of the parts, those of files; all processes give them in the same order.
        wait: whether to wait until other processes give them back.

    Yields:
        Whether this process holds them.
    """
    if jax.process_count() > 1 or address_of(study.workdir) is not None:
        yield True
        return
    folder = study.workdir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        for part in parts:
            lock = filelock.FileLock(folder / f"{part}.lock")
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                if not wait:
                    held.close()
                    yield False
                    return
                print(f"waiting     for another process, which has {part}", flush=True)
                lock.acquire()
            held.callback(lock.release)
        yield True
