"""Addresses in object storage, such as `s3://bucket/runs/ss`, and the local paths beside them."""

import dataclasses
import os
import pathlib
import re

from noise2map_jax.errors import UserError

SCHEMES = ("s3", "gs")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Address:
    """A place in object storage.

    Attributes:
        scheme: `s3` or `gs`.
        bucket: the name of the bucket.
        key: the path in the bucket, without a slash at its ends; empty for the whole bucket.
    """

    scheme: str
    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.path}"

    @property
    def path(self) -> str:
        """Bucket and key, as fsspec writes a path."""
        return f"{self.bucket}/{self.key}" if self.key else self.bucket

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def parent(self) -> "Address":
        """The place above; the bucket for itself."""
        return dataclasses.replace(self, key=self.key.rpartition("/")[0])

    def __truediv__(self, name: str) -> "Address":
        return dataclasses.replace(self, key=f"{self.key}/{name}".strip("/"))


def is_address(name: str | os.PathLike[str]) -> bool:
    """Whether a name is an address, such as `s3://bucket/run`, and not a local path."""
    return "://" in os.fspath(name)


def parse(name: str) -> Address:
    """Split an address.

    Raises:
        UserError: it is of another kind of storage, or the name of its bucket is impossible.
    """
    scheme, _, rest = name.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme not in SCHEMES:
        raise UserError(
            f"{scheme}:// cannot be used: expected s3://BUCKET/PATH, gs://BUCKET/PATH or a local "
            "path"
        )
    if not _BUCKET.fullmatch(bucket):
        # What is written here may be a secret key: it is not repeated.
        raise UserError(
            f"an address that begins with {scheme}:// has no name of a bucket (small letters, "
            "digits, dots and hyphens) after it; credentials are found in the environment"
        )
    parts = key.strip("/").split("/")
    if "." in parts or ".." in parts or (key.strip("/") and "" in parts):
        raise UserError(f"{name} has an empty part, '.' or '..' in its path; write it without")
    return Address(scheme, bucket, key.strip("/"))


def local_path(name: str, option: str) -> pathlib.Path:
    """Return a local path, or refuse an address.

    Args:
        name: what was given.
        option: the option that it was given to, such as `--output`.

    Raises:
        UserError: it is an address.
    """
    if is_address(name):
        raise UserError(
            f"{option} cannot be an address such as {name.partition('://')[0]}://...: give a local "
            "path, and copy it from there or to there"
        )
    return pathlib.Path(name)
