"""Local folders that are copies of a place in object storage, and their addresses for people."""

import os
import pathlib

from noise2map_jax.buckets.address import Address

_COPIES: dict[pathlib.Path, Address] = {}  # of this process; kept for messages about them


def note(folder: pathlib.Path, address: Address) -> None:
    """Remember that a folder or file is a copy of an address."""
    _COPIES[folder] = address


def address_of(folder: str | os.PathLike[str]) -> Address | None:
    """Return the address that a local folder is a copy of, or lies in a copy of; else None."""
    path = pathlib.Path(folder)
    for here in (path, *path.parents):
        if here in _COPIES:
            rest = path.relative_to(here).as_posix()
            return _COPIES[here] / rest if rest != "." else _COPIES[here]
    return None


def shown(text: str | os.PathLike[str]) -> str:
    """Write addresses in place of the local folders that are their copies, for people to read."""
    text = os.fspath(text)
    for folder, address in _COPIES.items():
        text = text.replace(str(folder), str(address))
    return text
