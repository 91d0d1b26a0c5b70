"""Local copies of what is only read from object storage: finished runs, exports, weights."""

import atexit
import functools
import pathlib

from noise2map_jax.buckets import names
from noise2map_jax.buckets.address import is_address, parse
from noise2map_jax.buckets.mirror import MARK, WRITER, new_folder, remove_folder
from noise2map_jax.buckets.snapshot import newest_steps, step_of
from noise2map_jax.buckets.store import Store

# What nothing that reads a finished run needs.
_LEFT_OUT = ("tensorboard", "members", "cohorts")


def local(name: str) -> pathlib.Path:
    """Return a local path for what is read: the path itself, or a copy of an address.

    Of a run the best checkpoint is copied, the config and the reports. The copy is made once in a
    process and removed at its end.

    Raises:
        UserError: the bucket cannot be used.
    """
    return _copy(name) if is_address(name) else pathlib.Path(name)


@functools.cache
def _copy(name: str) -> pathlib.Path:
    address = parse(name)
    store = Store(address)
    sizes = store.sizes()
    folder = new_folder(address)
    atexit.register(remove_folder, folder)
    names.note(folder, address)
    if "" in sizes:  # the address of one object
        folder.rmdir()
        store.get({"": folder})
        return folder
    steps = {step for file in sizes if (step := step_of(file)) and "/latest/" not in step}
    marked = {step for step in steps if f"{step}/{MARK}" in sizes}
    wanted = (None, *newest_steps(steps - marked))
    store.get(
        {
            file: folder / file
            for file in sizes
            if step_of(file) in wanted and file.split("/")[0] not in (*_LEFT_OUT, WRITER)
        }
    )
    return folder
