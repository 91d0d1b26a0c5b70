"""Finished maps, kept for a while under names that nobody can guess."""

import pathlib
import secrets
import shutil
import threading
import time

# Names of the files of a result and their types; no other file is ever served.
FILES = {
    "map.tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    "probability.tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    "polygons.geojson": "application/geo+json",
    "before.png": "image/png",
    "after.png": "image/png",
    "map.png": "image/png",
}


class Results:
    """Folders of results: at most `most` of them, for at most `seconds`."""

    def __init__(self, folder: pathlib.Path, most: int, seconds: float):
        self._folder, self._most, self._seconds = folder, most, seconds
        self._made: dict[str, float] = {}
        self._lock = threading.Lock()

    def create(self) -> tuple[str, pathlib.Path]:
        """Make a folder for one result: its name, and its path."""
        name = secrets.token_urlsafe(16)
        folder = self._folder / name
        folder.mkdir()
        return name, folder

    def keep(self, name: str) -> None:
        """Begin to serve a result, and remove those whose time is over."""
        with self._lock:
            self._made[name] = time.monotonic()
            self._forget_old()

    def drop(self, name: str) -> None:
        """Remove a folder, whether it is served or not."""
        with self._lock:
            self._made.pop(name, None)
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def path(self, name: str, file: str) -> pathlib.Path | None:
        """Return a file of a result; None if there is none. Names are looked up, never joined."""
        with self._lock:
            self._forget_old()
            if name not in self._made or file not in FILES:
                return None
        path = self._folder / name / file
        return path if path.is_file() else None

    def _forget_old(self) -> None:
        oldest = time.monotonic() - self._seconds
        names = sorted(self._made, key=self._made.__getitem__)
        for name in names:
            if len(self._made) > self._most or self._made[name] < oldest:
                del self._made[name]
                shutil.rmtree(self._folder / name, ignore_errors=True)
