"""Names of tensors and order of their axes in diffusers and in this package.

Names map mechanically, `down_blocks_0/resnets_1/conv1/kernel` <->
`down_blocks.0.resnets.1.conv1.weight`. Axes map by rank: convolutions HWIO <-> OIHW, matrices are
transposed.
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from noise2map_jax.errors import UserError

# Sub-modules that diffusers keeps in lists: only these have a dot before their number.
LISTS = "down_blocks|up_blocks|resnets|attentions|downsamplers|upsamplers|to_out"
# Names of attention layers before diffusers 0.12; the published DDPM weights still have them.
LEGACY_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}

# Order of axes by rank: convolutions HWIO <-> OIHW, matrices IO <-> OI, vectors.
TO_DIFFUSERS = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
FROM_DIFFUSERS = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}

Path = tuple[str, ...]  # path of a parameter in its tree
Shape = tuple[int, ...]


def diffusers_name(path: Path) -> str:
    """Return the name of a parameter in diffusers, from its path in the tree."""
    modules = [re.sub(rf"^({LISTS})_(\d+)$", r"\1.\2", module) for module in path[:-1]]
    leaf = {"kernel": "weight", "scale": "weight"}.get(path[-1], path[-1])
    return ".".join([*modules, leaf])


def current_name(name: str) -> str:
    """Replace a legacy name of a tensor in an attention layer by the current one of diffusers."""
    return re.sub(
        r"(attentions\.\d+)\.(query|key|value|proj_attn)\.",
        lambda match: f"{match[1]}.{LEGACY_NAMES[match[2]]}.",
        name,
    )


def to_torch_layout(parameter: np.ndarray) -> np.ndarray:
    """Convert a parameter from the layout of Flax to that of PyTorch, contiguous."""
    parameter = np.asarray(parameter)
    return np.ascontiguousarray(parameter.transpose(TO_DIFFUSERS[parameter.ndim]))


def arrange(
    tensors: Mapping[str, np.ndarray],
    expected: Mapping[str, tuple[Path, Shape]],
    *,
    source: str,
    optional: Iterable[str] = (),
) -> dict[Path, np.ndarray]:
    """Arrange tensors by their path in a tree of parameters.

    Args:
        tensors: arrays in PyTorch's layout by name, legacy attention names included.
        expected: path and shape (in the layout of Flax) of each parameter, by its tensor's name.
        source: the origin of the tensors, for error messages.
        optional: names in `expected` that may be missing, all of them or none.

    Returns:
        float32 arrays in the layout of Flax, by path.

    Raises:
        UserError: tensors are missing, left over or of another shape; the message names all.
    """
    given: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        name = current_name(name)
        if name in given:
            raise UserError(f"{source}: tensor {name} is stored twice, as its old and new name")
        given[name] = tensor
    check_fit({k: t.shape for k, t in given.items()}, expected, source=source, optional=optional)
    arranged = {}
    for name, (path, _) in expected.items():
        if name in given:
            tensor = given.pop(name).astype(np.float32, copy=False)
            arranged[path] = np.ascontiguousarray(tensor.transpose(FROM_DIFFUSERS[tensor.ndim]))
    return arranged


def check_fit(
    shapes: Mapping[str, Shape],
    expected: Mapping[str, tuple[Path, Shape]],
    *,
    source: str,
    optional: Iterable[str] = (),
) -> None:
    """Raise if tensors do not fit a network; arguments and errors as in `arrange`."""
    may_lack = frozenset(optional)
    if may_lack & shapes.keys():
        may_lack = frozenset()
    missing, misshaped = [], []
    for name, (_, shape) in expected.items():
        stored = tuple(shape[axis] for axis in TO_DIFFUSERS[len(shape)])
        if name not in shapes:
            if name not in may_lack:
                missing.append(name)
        elif shapes[name] != stored:
            misshaped.append(f"{name} {list(shapes[name])} instead of {list(stored)}")
    left_over = sorted(shapes.keys() - expected.keys())
    faults = (("missing", missing), ("left over", left_over), ("of another shape", misshaped))
    if any(names for _, names in faults):
        listed = "; ".join(f"{len(n)} {what}: {', '.join(n)}" for what, n in faults if n)
        raise UserError(f"{source}: tensors do not fit the config: {listed}")
