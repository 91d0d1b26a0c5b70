"""Names of tensors and order of their axes in PyTorch and in this package.

A tensor's name becomes its path: `.0` becomes `_0`, and other dots separate modules, so
`encoder.layer1.0.conv1.weight` is `encoder/layer1_0/conv1/kernel`. Kernels OIHW become HWIO, those
of transposed convolutions [C, D, K, L] become [K, L, C, D], matrices are transposed, everything
else keeps its axes.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import flax.traverse_util
import jax.numpy as jnp
import numpy as np

from noise2map_jax.errors import UserError

Path = tuple[str, ...]  # path of a leaf: collection, modules, name

# Names in PyTorch of the leaves of each collection; other leaves keep their names.
LEAVES = {
    "params": {"kernel": "weight", "scale": "weight", "transposed_kernel": "weight"},
    "batch_stats": {"mean": "running_mean", "var": "running_var"},
}
# Modules whose own names end in numbers in PyTorch, with the module before where that decides.
NUMBERED = (
    r"(?:^|\.)x_\d+_\d+|residual_conv_block\d\.(?:conv|batch_norm)_\d"
    r"|st_block_\d\d|(?:fuse|smooth)_layer_\d|ln_1"
)
_FROM_CONV, _FROM_TRANSPOSED = (2, 3, 1, 0), (2, 3, 0, 1)
_TO_CONV, _TO_TRANSPOSED = (3, 2, 0, 1), (2, 3, 0, 1)


def torch_name(path: Path) -> str:
    """Return the name in PyTorch of a leaf at `(collection, *modules, name)`."""
    collection, *modules, leaf = path
    name = ".".join([*modules, LEAVES.get(collection, {}).get(leaf, leaf)])
    # A number belongs to the module's own name only in the exceptions, which are kept as they are.
    pieces = re.split(f"({NUMBERED})", name)
    pieces[::2] = [re.sub(r"_(?=\d+(?:[._]|$))", ".", piece) for piece in pieces[::2]]
    return "".join(pieces)


def from_torch(
    tensors: Mapping[str, np.ndarray],
    tree: Mapping[str, Any],
    *,
    source: str = "the weights",
    ignored: Iterable[str] = (),
) -> dict[str, Any]:
    """Arrange PyTorch's tensors as the variables of a network or an encoder.

    Args:
        tensors: arrays by name. `num_batches_tracked` is left out: momentum is constant.
        tree: variables `{"params": ..., "batch_stats": ...}`, arrays or shapes.
        source: what messages call the tensors.
        ignored: tensors whose names begin with one of these are left out, such as `fc.`.

    Returns:
        The variables, arrays of the types of `tree`.

    Raises:
        UserError: tensors are missing, left over, of another shape or hold no finite numbers; the
            message names all.
    """
    leaves = flax.traverse_util.flatten_dict(dict(tree))
    expected = {torch_name(path): path for path in leaves}
    skipped = tuple(ignored)
    given = {
        name: tensor
        for name, tensor in tensors.items()
        if not name.startswith(skipped) and name.split(".")[-1] != "num_batches_tracked"
    }
    arranged = {
        expected[name]: from_torch_layout(expected[name], tensor)
        for name, tensor in given.items()
        if name in expected
    }
    missing = ", ".join(sorted(set(expected) - set(given)))
    left_over = ", ".join(sorted(set(given) - set(expected)))
    shapes = ", ".join(
        f"{torch_name(path)} {tensor.shape} instead of {tuple(leaves[path].shape)}"
        for path, tensor in sorted(arranged.items())
        if tensor.shape != tuple(leaves[path].shape)
    )
    no_numbers = ", ".join(
        torch_name(path) for path, tensor in sorted(arranged.items()) if not _is_finite(tensor)
    )
    problems = {
        "missing": missing,
        "left over": left_over,
        "of another shape": shapes,
        "without finite floating-point numbers": no_numbers,
    }
    if found := "; ".join(f"{what}: {names}" for what, names in problems.items() if names):
        raise UserError(f"{source} do not fit the network; tensors {found}")
    return flax.traverse_util.unflatten_dict(
        {path: arranged[path].astype(leaf.dtype) for path, leaf in leaves.items()}
    )


def _is_finite(tensor: np.ndarray) -> bool:
    # NumPy itself does not know bfloat16.
    floating = jnp.issubdtype(tensor.dtype, jnp.floating)
    return bool(floating and np.isfinite(tensor.astype(np.float32)).all())


def to_torch(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return variables `{"params": ..., "batch_stats": ...}` as PyTorch's tensors by name."""
    leaves = flax.traverse_util.flatten_dict(dict(variables))
    return {torch_name(path): to_torch_layout(path, leaf) for path, leaf in leaves.items()}


def from_torch_layout(path: Path, tensor: np.ndarray) -> np.ndarray:
    """Order a tensor's axes as the leaf at the path has them."""
    return _ordered(path, np.asarray(tensor), _FROM_CONV, _FROM_TRANSPOSED)


def to_torch_layout(path: Path, leaf: Any) -> np.ndarray:
    """Order the axes of the leaf at the path as PyTorch has them, contiguous."""
    return np.ascontiguousarray(_ordered(path, np.asarray(leaf), _TO_CONV, _TO_TRANSPOSED))


def _ordered(
    path: Path, array: np.ndarray, conv: tuple[int, ...], transposed: tuple[int, ...]
) -> np.ndarray:
    if path[-1] == "transposed_kernel" and array.ndim == 4:
        return array.transpose(transposed)
    if path[-1] == "kernel" and array.ndim in (2, 4):
        return array.transpose(conv if array.ndim == 4 else (1, 0))
    return array
