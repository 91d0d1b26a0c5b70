"""Parameters to start from, and what is told of them."""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from jax.sharding import Mesh

from noise2map_jax.devices.sharding import replicate
from noise2map_jax.network.statistics import STATISTICS

Flat = dict[str, jax.Array]
MOST_NAMES = 4  # tensors of one module that are told by name; more are told as a number


@dataclasses.dataclass(frozen=True)
class Initial:
    """Parameters to start from.

    Attributes:
        params: the whole tree.
        source: what was read, for people.
        drawn: names of the tensors that keep their random values.
        adapted: names of the tensors that were fitted to another number of channels.
        num_taken: number of tensors that were read.
        digest: SHA-256 over names and values of these, the same on all processes of a run.
        left_out: names in the source of tensors that the network does not use.
        warnings: what may be a mistake, a line each.
    """

    params: Any
    source: str
    drawn: tuple[str, ...]
    adapted: tuple[str, ...]
    num_taken: int
    digest: str
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def summary(self) -> str:
        """Say which tensors were read, fitted, left out and left random; warnings on more lines."""
        adapted = f"; fitted to other channels: {', '.join(self.adapted)}" if self.adapted else ""
        left_out = f"; not used: {_listed(self.left_out)}" if self.left_out else ""
        line = (
            f"{self.num_taken} tensors from {self.source} (SHA-256 {self.digest[:12]}){adapted}"
            f"{left_out}; random: {_listed(self.drawn) or 'none'}"
        )
        return "\n".join([line, *(f"warning     {warning}" for warning in self.warnings)])


def merge(now: Flat, new: Mapping[str, Any], mesh: Mesh, **told: Any) -> Initial:
    """Replace some of the random tensors.

    Args:
        now: all tensors, random.
        new: those to take instead, by the same names.
        mesh: the devices that get a copy of them.
        **told: `source`, and other attributes of `Initial`.
    """
    placed = replicate(dict(new), mesh)
    return Initial(
        params=traverse_util.unflatten_dict(now | placed, sep="/"),
        drawn=tuple(name for name in now if name not in new),
        num_taken=len(new),
        digest=_digest(new),
        **told,
    )


def flat(tree: Any) -> Flat:
    """Return the leaves of a tree by their paths, such as `unet/conv_in/kernel`."""
    return traverse_util.flatten_dict(tree, sep="/")


def _digest(tensors: Mapping[str, Any]) -> str:
    """SHA-256 over the names, types and values of tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {value.dtype} {value.shape}\0".encode() + value.tobytes())
    return digest.hexdigest()


def _listed(names: Iterable[str]) -> str:
    """List tensors by name, or by their module if it has many."""
    modules: dict[str, list[str]] = {}
    for name in names:
        top = name.removeprefix(f"{STATISTICS}/").replace("/", ".").split(".")[0]
        modules.setdefault(top, []).append(name)
    return ", ".join(
        ", ".join(within) if len(within) <= MOST_NAMES else f"{len(within)} of {top}"
        for top, within in modules.items()
    )
