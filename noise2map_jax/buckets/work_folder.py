"""The work folder of a run: a local folder, or the local copy of one in object storage."""

import contextlib
import pathlib
import sys
from collections.abc import Iterator

import jax

from noise2map_jax.buckets import names
from noise2map_jax.buckets.address import is_address, parse
from noise2map_jax.buckets.mirror import Mirror, new_folder, remove_folder
from noise2map_jax.errors import UserError

_MIRRORS: dict[pathlib.Path, Mirror] = {}


@contextlib.contextmanager
def work_folder(workdir: str) -> Iterator[pathlib.Path]:
    """Open a run's work folder; to be called when the processes of a run know each other.

    Args:
        workdir: a local path, or an address such as `s3://bucket/run`.

    Yields:
        The local folder. If it is a copy, what the first process writes to it goes to the bucket,
        the last of it when the context ends.

    Raises:
        UserError: a local path is a file, or the bucket cannot be used.
    """
    if not is_address(workdir):
        if pathlib.Path(workdir).is_file():
            raise UserError(f"--workdir={workdir} is a file; expected a folder")
        if "[" in str(pathlib.Path(workdir).resolve()):
            raise UserError(
                f"--workdir={workdir} has a '[' in its path, which Orbax takes for a pattern; "
                "choose another name"
            )
        yield pathlib.Path(workdir)
        return
    address = parse(workdir)
    if not address.key:
        raise UserError(
            f"--workdir={address} is a whole bucket; name a folder in it, as {address}/run"
        )
    folder = new_folder(address)
    names.note(folder, address)
    try:
        mirror = Mirror(address, folder, writes=jax.process_index() == 0)
        _MIRRORS[folder] = mirror
        try:
            yield folder
        except Exception:
            try:
                mirror.close()
            except Exception as failure:  # the mistake is what ends the program
                print(f"what came last is not in {address}: {failure}", file=sys.stderr)
            raise
        except BaseException:  # also stopped by a signal, with a state to keep
            mirror.close()
            raise
        mirror.close()
    finally:
        _MIRRORS.pop(folder, None)
        remove_folder(folder)


def is_own_copy(folder: pathlib.Path) -> bool:
    """Whether a folder is of this process alone: a copy of a place in object storage."""
    return _mirror(folder) is not None


def check_copying(folder: pathlib.Path) -> None:
    """Raise if a folder is a copy whose changes could not be written to its bucket."""
    if mirror := _mirror(folder):
        mirror.check()


def _mirror(folder: pathlib.Path) -> Mirror | None:
    path = pathlib.Path(folder)
    return next((_MIRRORS[p] for p in (path, *path.parents) if p in _MIRRORS), None)
