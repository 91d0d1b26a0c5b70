"""Objects below an address: listed, fetched, written and removed, with retries and clear errors."""

import contextlib
import errno
import functools
import math
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from noise2map_jax.buckets.address import Address
from noise2map_jax.errors import UserError

PATIENCE = "NOISE2MAP_BUCKET_PATIENCE"
DEFAULT_PATIENCE = 120.0  # seconds for which a lost connection is tried again
WRITE_TEST = "noise2map_write_test"
LONGEST_WAIT = 15.0  # seconds between two attempts
T = TypeVar("T")


class BucketError(UserError):
    """Object storage cannot be used; another process may be waiting for this one."""


class _Errors(NamedTuple):
    """Exceptions of a library.

    Attributes:
        refused: those that say that credentials lack or are wrong.
        lost: those after which the same request may succeed.
        other: any others.
    """

    refused: tuple[type[Exception], ...]
    lost: tuple[type[Exception], ...]
    other: tuple[type[Exception], ...]

    @property
    def every(self) -> tuple[type[Exception], ...]:
        """All of these, and those of the operating system."""
        return (OSError, *self.refused, *self.lost, *self.other)


def _s3_errors() -> _Errors:
    from botocore import exceptions

    refused = (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.CredentialRetrievalError,
        exceptions.TokenRetrievalError,
        exceptions.ProfileNotFound,
    )
    lost = (exceptions.HTTPClientError, exceptions.ConnectionError)
    return _Errors(refused, lost, (exceptions.BotoCoreError,))


def _gs_errors() -> _Errors:
    import aiohttp
    import gcsfs.retry
    import requests
    from google.auth import exceptions

    lost = (aiohttp.ClientError, requests.RequestException, exceptions.TransportError)
    return _Errors((exceptions.GoogleAuthError,), lost, (gcsfs.retry.HttpError,))


_ERRORS = {"s3": _s3_errors, "gs": _gs_errors}
# Codes of S3 that s3fs does not take for a lack of permission; another attempt would meet the same.
_FINAL = ("InvalidToken", "TokenRefreshRequired")
_LIBRARIES = {"s3": "s3fs", "gs": "gcsfs"}
_CREDENTIALS = {
    "s3": "AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "`gcloud auth application-default login`, or GOOGLE_APPLICATION_CREDENTIALS",
}


class Store:
    """The objects below an address; names are relative to it.

    Raises:
        UserError: the library for this kind of storage is not installed.
    """

    def __init__(self, address: Address):
        self.address = address
        self._files, self._errors = _open(address.scheme)
        self._patience = _patience()

    def sizes(self) -> dict[str, int]:
        """List all objects: size in bytes by name; the name is empty for an object right here."""
        found = self._call("read", lambda: self._files.find(self.address.path, detail=True))
        skip = len(self.address.path) + 1
        return {path[skip:]: int(info["size"]) for path, info in found.items() if path[-1:] != "/"}

    def folders(self, name: str = "") -> list[str]:
        """List the names of folders in a folder; none if there is no such folder."""
        path = (self.address / name).path

        def listed() -> list[str]:
            try:
                found = self._files.ls(path, detail=True)
            except FileNotFoundError:
                if not self._has_bucket():
                    raise
                return []
            return [i["name"].rstrip("/") for i in found if i["type"] == "directory"]

        return sorted(path.rpartition("/")[2] for path in self._call("read", listed))

    def text(self, name: str) -> str | None:
        """Return the content of an object as text; None if it is not there."""

        def read() -> bytes | None:
            try:
                return self._files.cat_file((self.address / name).path)
            except FileNotFoundError:
                return None

        content = self._call("read", read)
        return None if content is None else content.decode(errors="replace")

    def get(self, files: Mapping[str, pathlib.Path]) -> None:
        """Fetch objects: local path by name."""
        for path in files.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        there = [(self.address / name).path if name else self.address.path for name in files]
        here = [str(path) for path in files.values()]
        if files:
            self._call("read", lambda: self._files.get(there, here))

    def put(self, files: Mapping[str, pathlib.Path]) -> None:
        """Write objects from files: local path by name."""
        there = [(self.address / name).path for name in files]
        here = [str(path) for path in files.values()]
        if files:
            self._call("write", lambda: self._files.put(here, there))

    def write(self, name: str, text: str) -> None:
        """Write an object from text."""
        path = (self.address / name).path
        self._call("write", lambda: self._files.pipe_file(path, text.encode()))

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects; what is not there counts as removed."""
        for name in names:

            def remove(path: str = (self.address / name).path) -> None:
                with contextlib.suppress(FileNotFoundError):
                    self._files.rm_file(path)

            self._call("write", remove)

    def check_writing(self) -> None:
        """Write and remove an empty object: a run that cannot be kept should not begin."""
        self.write(WRITE_TEST, "")
        self.remove([WRITE_TEST])

    def _call(self, purpose: str, call: Callable[[], T]) -> T:
        """Call the library; try again for a while when the connection is lost.

        Raises:
            BucketError: in one line, why it does not work.
        """
        first, wait = time.monotonic(), 1.0
        while True:
            try:
                return call()
            except Exception as error:
                if _is_local(error) or not isinstance(error, self._errors.every):
                    raise
                if reason := self._final(error, purpose):
                    raise BucketError(reason) from None
                waited = time.monotonic() - first
                if waited + wait > self._patience:
                    raise BucketError(
                        f"{self.address} cannot be reached: {_line(error)}; tried for "
                        f"{waited:.0f} s ({PATIENCE} gives the seconds). Run the same command "
                        "again when the connection is back"
                    ) from None
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _final(self, error: Exception, purpose: str) -> str:
        """Say what is wrong, if another attempt would meet the same; else nothing."""
        if isinstance(error, FileNotFoundError):
            if self._has_bucket():
                return f"an object of {self.address} is gone ({_line(error)}); run again"
            scheme, bucket = self.address.scheme, self.address.bucket
            return f"there is no bucket {scheme}://{bucket}; make it, or correct the address"
        if self._is_refusal(error):
            return (
                f"no permission to {purpose} {self.address}: {_line(error)}; credentials are "
                f"found by {_CREDENTIALS[self.address.scheme]}"
            )
        lost = isinstance(error, (OSError, *self._errors.lost)) and _code_of_s3(error) not in _FINAL
        if lost or _code(error) in (408, 429) or _code(error) >= 500:
            return ""
        return f"{self.address} cannot be used: {_line(error)}"

    def _is_refusal(self, error: Exception) -> bool:
        if isinstance(error, self._errors.lost):
            return False
        # gcsfs tells of a lack of permission by an OSError, or an HttpError with this code.
        return (
            isinstance(error, (PermissionError, *self._errors.refused))
            or str(error).startswith("Forbidden")
            or _code(error) in (401, 403)
        )

    def _has_bucket(self) -> bool:
        try:
            self._files.ls(self.address.bucket)
            return True
        except FileNotFoundError:  # not there, or empty
            return bool(self._files.exists(self.address.bucket))
        except self._errors.every:  # there is one, which may not be listed
            return True


@functools.cache
def _open(scheme: str) -> tuple[Any, _Errors]:
    """Open a kind of storage: fsspec's file system, and the exceptions of its library."""
    import logging

    try:
        import fsspec

        # Other processes write here, too: nothing may be remembered of what was there.
        files = fsspec.filesystem(scheme, use_listings_cache=False)
        errors = _ERRORS[scheme]()
    except ImportError:
        raise UserError(
            f"{scheme}:// needs {_LIBRARIES[scheme]}, which is not installed: pip install "
            "'noise2map_jax[cloud]'"
        ) from None
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # stacks of what is tried again
    return files, errors


def _patience() -> float:
    given = os.environ.get(PATIENCE, "")
    try:
        seconds = float(given or DEFAULT_PATIENCE)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UserError(f"{PATIENCE} is {given!r}; expected seconds, 0 or more")
    return seconds


def _is_local(error: Exception) -> bool:
    """Whether the disk here is the reason, which no other attempt would mend."""
    return isinstance(error, OSError) and (
        error.filename is not None or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    )


def _code(error: Exception) -> int:
    """Return the status of HTTP that an error of gcsfs tells; 0 if it tells none."""
    code = getattr(error, "code", None)
    return code if isinstance(code, int) else 0


def _code_of_s3(error: Exception) -> str:
    """Return the code of S3 in the error of botocore that s3fs translated; empty without one."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def _line(error: Exception) -> str:
    text = str(getattr(error, "strerror", None) or error).strip()
    return (text or type(error).__name__).splitlines()[0].rstrip(".")
