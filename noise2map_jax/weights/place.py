"""Where weights lie: on this machine, in the project, on the hub or in a bucket."""

import pathlib

from noise2map_jax.buckets.copies import local
from noise2map_jax.weights import hub, shipped


def find(name: str) -> pathlib.Path:
    """Find weights by what `init_from` takes; what is elsewhere is copied to this machine first.

    Args:
        name: a path, an address in a bucket, `hf:OWNER/REPO/FOLDER`, or `shipped:NAME`.

    Returns:
        The file or folder; a path on this machine may not exist.

    Raises:
        UserError: there are no such weights on the hub, in the bucket or in the project.
    """
    if name.startswith(shipped.PREFIX):
        return shipped.shipped(name)
    return hub.fetch(name) if name.startswith(hub.PREFIX) else local(name)
