"""What training, evaluation and maps ask of a network, whichever it is."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.network.statistics import STATISTICS, tree_of

# Parameters that networks use in float32: rates, step sizes and factors of selective scans.
IN_FLOAT32 = ("A_logs", "dt_projs_bias", "Ds")


@dataclasses.dataclass(frozen=True)
class Head:
    """The sizes of one task's projections.

    Attributes:
        task: name of the task.
        num_inputs: channels of x: bands times dates.
        num_outputs: number of classes, or channels of the predicted noise.
        projected: False: no projections before and after the backbone.
    """

    task: str
    num_inputs: int
    num_outputs: int
    projected: bool = True


class Network(Protocol):
    """A Flax module, called `(x_t, timesteps, *, task, use_timestep=True, training=None)`.

    Attributes:
        heads: the tasks that it predicts.
        dtype: compute type.
        stride: sides of tiles are multiples of this.
    """

    def __hash__(self) -> int: ...
    @property
    def heads(self) -> tuple[Head, ...]: ...  # noqa: D102
    @property
    def dtype(self) -> Any: ...  # noqa: D102
    @property
    def stride(self) -> int: ...  # noqa: D102
    @property
    def init(self) -> Callable[..., Any]: ...  # noqa: D102
    @property
    def init_with_output(self) -> Callable[..., Any]: ...  # noqa: D102
    @property
    def apply(self) -> Callable[..., Any]: ...  # noqa: D102


def find_head(model: Network, task: str) -> Head:
    """Look up a head by its task, or raise a `UserError` that lists the tasks."""
    for head in model.heads:
        if head.task == task:
            return head
    names = ", ".join(head.task for head in model.heads)
    raise UserError(f"the model has no head for task {task!r}; it has {names}")


def check_inputs(model: Network, x: jax.Array, task: str) -> Head:
    """Return the head of a task, or raise a `UserError` if x has another number of channels."""
    head = find_head(model, task)
    if x.shape[-1] != head.num_inputs:
        raise UserError(
            f"the input of task {task!r} has {x.shape[-1]} channels; expected {head.num_inputs}"
        )
    return head


def compute_types(params: Any, dtype: Any) -> Any:
    """Return the type that the network uses each parameter in.

    Args:
        params: tree of parameters, or of their shapes.
        dtype: compute type of the network; statistics, the convolutions that give logits, and
            `IN_FLOAT32` are always float32.

    Returns:
        A tree of types of the same structure.
    """

    def of_use(path: Any, _: Any) -> Any:
        top, leaf = path[0].key, path[-1].key
        wide = top == STATISTICS or top.endswith("_output_conv") or leaf in IN_FLOAT32
        return jnp.float32 if wide else dtype

    return jax.tree_util.tree_map_with_path(of_use, params)


def init_params(model: Network, key: jax.Array, tile_size: int | Mapping[str, int]) -> Any:
    """Draw the parameters of a network with all of its heads.

    Args:
        model: the network.
        key: a PRNG key; the values of what tasks share do not depend on the heads.
        tile_size: side of tiles in pixels, for all tasks or by task; it decides whether there are
            resampling convolutions.

    Returns:
        The tree of parameters, and of statistics where the network has them, see `statistics`.
    """
    params: dict[str, Any] = {}
    for head in model.heads:
        size = tile_size if isinstance(tile_size, int) else tile_size[head.task]
        x = jnp.zeros((1, size, size, head.num_inputs))
        variables = model.init(key, x, jnp.zeros(1, jnp.int32), task=head.task)
        params = tree_of(variables) | params
    return params
