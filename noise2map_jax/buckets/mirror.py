"""The copy that a run's folder has in object storage: fetched at the start, then kept up to date.

A thread looks for changes every few seconds. The first process alone writes to the bucket.

Whenever the process is killed, the newest complete checkpoint in the bucket is one that the run can
go on from: everything older than it is there, and logs are at least as new, from which a run that
resumes drops what came later. While a checkpoint is copied it has a mark, and one with a mark is
not fetched.
"""

import pathlib
import shutil
import tempfile
import threading
import time
import uuid

from noise2map_jax.buckets import snapshot
from noise2map_jax.buckets.address import Address
from noise2map_jax.buckets.snapshot import is_step
from noise2map_jax.buckets.store import WRITE_TEST, BucketError, Store

MARK = "incomplete_copy.txt"
WRITER = "written_by.txt"  # holds a name of the process that began last to save checkpoints
SCAN_SECONDS = 1.0
LOG_SECONDS = 30.0  # logs are copied whole, so not after every line


class Mirror:
    """A run's local folder and its copy in object storage.

    Args:
        address: the run's place in the bucket.
        folder: the local folder, which is empty at first.
        writes: whether changes go to the bucket.

    Raises:
        BucketError: the bucket cannot be used.
    """

    def __init__(self, address: Address, folder: pathlib.Path, *, writes: bool):
        self.folder, self._store, self._writes = folder, Store(address), writes
        self._sent: dict[str, int] = {}  # the units in the bucket; -1: to be written again
        self._failure: Exception | None = None
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._logs_sent = time.monotonic()
        self._name, self._has_signed = uuid.uuid4().hex, False
        self._fetch()
        if writes:
            self._store.check_writing()
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()

    def check(self) -> None:
        """Raise what made copying fail, if it did."""
        if self._failure:
            raise self._failure

    def close(self) -> None:
        """Copy what is left, and stop.

        Raises:
            BucketError: not everything could be copied.
        """
        if self._writes and not self._stop.is_set():
            self._stop.set()
            self._thread.join()
            self.check()
            while not self.push():
                time.sleep(SCAN_SECONDS)

    def push(self) -> bool:
        """Copy what changed to the bucket, and remove there what is gone here.

        Returns:
            Whether all was copied: what changes at this moment waits for the next time.
        """
        with self._lock, tempfile.TemporaryDirectory(dir=self.folder.parent) as place:
            self._logs_sent = time.monotonic()
            units = snapshot.take(self.folder)
            held = {
                unit: snapshot.hold(self.folder, unit, changed, pathlib.Path(place))
                for unit, changed in units.items()
                if self._is_new(unit, changed)
            }
            for unit, files in held.items():
                if not files:  # what came later may rest on it, and waits, too
                    return False
                self._write(unit, files)
                self._sent[unit] = units[unit]
            # A checkpoint stays until a newer one is there: this look may have missed that one.
            stay = snapshot.newest_steps(u for u, t in self._sent.items() if t >= 0 and is_step(u))
            for unit in self._sent.keys() - units.keys() - stay:
                self._remove(unit)
                del self._sent[unit]
        return True

    def _sign(self) -> None:
        """Say that this process saves checkpoints, or find that another began to after it.

        What saves none, such as an evaluation, may look at a run that is trained elsewhere.
        """
        if not self._has_signed:
            self._store.write(WRITER, self._name)
            self._has_signed = True
        elif self._store.text(WRITER) != self._name:
            raise BucketError(
                f"another run saves checkpoints in {self._store.address}, too, and began to after "
                "this one; give each a --workdir of its own"
            )

    def _is_new(self, unit: str, changed: int) -> bool:
        sent = self._sent.get(unit, -1)
        return sent != changed and not (is_step(unit) and sent >= 0)

    def _fetch(self) -> None:
        """Fetch the run; where this process does not write, without checkpoints."""
        sizes = self._store.sizes()
        steps = {step for name in sizes if (step := snapshot.step_of(name))}
        marked = {step for step in steps if f"{step}/{MARK}" in sizes}
        wanted = snapshot.newest_steps(steps - marked) if self._writes else set()
        files = {
            name: self.folder / name
            for name in sizes
            if name not in ("", WRITE_TEST, WRITER) and snapshot.step_of(name) in (None, *wanted)
        }
        self._store.get(files)
        units = snapshot.take(self.folder)
        self._sent = dict.fromkeys(steps - wanted, -1) | units

    def _watch(self) -> None:
        try:
            while not self._stop.wait(SCAN_SECONDS):
                units = snapshot.take(self.folder)
                new = {unit for unit, changed in units.items() if self._is_new(unit, changed)}
                old_logs = time.monotonic() - self._logs_sent > LOG_SECONDS
                if any(not snapshot.is_log(unit) or old_logs for unit in new):
                    self.push()
        except Exception as error:  # told by `check` in the thread that trains
            self._failure = error

    def _write(self, unit: str, files: dict[str, pathlib.Path]) -> None:
        if not is_step(unit):
            self._store.put(files)
            return
        self._sign()
        if unit in self._sent:  # left by a copy that was cut off
            self._remove(unit)
        self._store.write(f"{unit}/{MARK}", "")
        # What tells Orbax that a checkpoint is complete comes last.
        last = f"{unit}/commit_success.txt"
        self._store.put({name: path for name, path in files.items() if name != last})
        self._store.put({name: path for name, path in files.items() if name == last})
        self._store.remove([f"{unit}/{MARK}"])

    def _remove(self, unit: str) -> None:
        if not is_step(unit):
            self._store.remove([unit])
            return
        self._store.write(f"{unit}/{MARK}", "")
        inside = Store(self._store.address / unit)
        inside.remove(sorted(inside.sizes(), key=lambda name: name == MARK))


def new_folder(address: Address) -> pathlib.Path:
    """Make an empty local folder for a copy of an address, alone in a temporary folder."""
    # Orbax takes brackets in a path for a pattern.
    name = (address.name or address.bucket).translate(str.maketrans("[]", "__"))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="noise2map-")) / name
    folder.mkdir()
    return folder


def remove_folder(folder: pathlib.Path) -> None:
    """Remove a folder of `new_folder`."""
    shutil.rmtree(folder.parent, ignore_errors=True)
