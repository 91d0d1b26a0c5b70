"""Activations of named layers, as features for other uses: retrieval, clustering, probes."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from noise2map_jax.errors import UserError
from noise2map_jax.network.interface import Network, find_head
from noise2map_jax.network.statistics import variables
from noise2map_jax.network.unet import UNet


def layer_names(
    model: Network | UNet, input_shape: tuple[int, ...], *, task: str | None = None
) -> tuple[str, ...]:
    """List the layers that `features` accepts; the network is traced, not run.

    Args:
        model: the network.
        input_shape: (B, H, W, C) of its input; decides whether there are resampling layers.
        task: task of the head to use; None for a bare backbone, which has none.

    Returns:
        Paths in the tree of parameters, such as `unet/down_blocks_2/resnets_1`, sorted; layers
        without parameters, such as dropout, have a path, too. In Noise2Map `norm1`, `norm2` and
        `conv_norm_out` give activations after their SiLU, which is fused with them (`norm2` only if
        the timestep is added, not if it scales and shifts).

    Raises:
        UserError: as in a call of the network.
    """
    options = _options(model, task)
    x, timesteps = jnp.zeros(input_shape), jnp.ones(input_shape[0], jnp.int32)
    _, state = jax.eval_shape(
        lambda: model.init_with_output(
            jax.random.key(0),
            x,
            timesteps,
            **options,
            mutable=True,
            capture_intermediates=lambda module, method: _is_layer(module, method, None),
        )
    )
    return tuple(sorted(_kept(state)))


def features(
    model: Network | UNet,
    params: Any,
    x_t: jax.Array,
    timesteps: jax.Array,
    layers: Sequence[str],
    *,
    task: str | None = None,
    use_timestep: Any = True,
    pooled: bool = True,
) -> dict[str, jax.Array]:
    """Compute the activations of some layers for a batch.

    Compile it, for example with

        jax.jit(functools.partial(features, model, layers=("unet/mid_block",), task="ss"))

    so that layers after the last requested one cost nothing.

    Args:
        model: the network.
        params: the network's tree of parameters, with its statistics where it has them.
        x_t: [B, H, W, C], the network's input.
        timesteps: [B] int.
        layers: names from `layer_names`. A layer with several outputs gives its last one: a down
            block that of its downsampling if it has one, an encoder its deepest map.
        task: task of the head to use; None for a bare backbone, which has none.
        use_timestep: [] bool, whether t reaches the network; for networks with a head only.
        pooled: whether to average over pixels.

    Returns:
        By name, [B, D] float32 if pooled; else the layer's output [B, h, w, D] (within attention
        [B, h * w, D]; for layers of the timestep embedding [B, D]). Layers that see each date of a
        pair by itself have 2B rows, the earlier dates first.

    Raises:
        UserError: a layer does not exist; or as in a call of the network.
    """
    options = _options(model, task)
    if options:
        options["use_timestep"] = use_timestep
    wanted = frozenset(layers)
    _, state = model.apply(
        variables(params),
        x_t,
        timesteps,
        **options,
        mutable=["intermediates"],
        capture_intermediates=lambda module, method: _is_layer(module, method, wanted),
    )
    found = _outputs(state)
    for name in layers:
        if name not in found:
            raise _unknown(name, layer_names(model, x_t.shape, task=task))
    return {name: _pool(found[name]) if pooled else found[name] for name in layers}


def _options(model: Network | UNet, task: str | None) -> dict[str, Any]:
    """Return the keyword arguments of the network's call."""
    if isinstance(model, UNet):
        return {}
    if task is None:
        names = ", ".join(head.task for head in model.heads)
        raise UserError(f"features of this model need a task; its heads are for {names}")
    return {"task": find_head(model, task).task}


def _is_layer(module: nn.Module, method: str, wanted: frozenset[str] | None) -> bool:
    """Whether Linen keeps an output: of calls only, of all sub-modules or the wanted ones."""
    path = module.path
    # A rival's network has no level of its own in the tree, but Linen counts it for its encoder.
    name = "/".join(path[1:] if path[:1] == ("network",) else path)
    return method == "__call__" and bool(name) and (wanted is None or name in wanted)


def _outputs(state: Any) -> dict[str, jax.Array]:
    """Return the kept outputs by the paths of their modules."""
    return {name: _of_calls(calls) for name, calls in _kept(state).items()}


def _kept(state: Any) -> dict[str, Any]:
    """Return the outputs of all calls of the modules that Linen kept, by path."""
    found = traverse_util.flatten_dict(state.get("intermediates", {}))
    return {"/".join(path[:-1]): calls for path, calls in found.items()}


def _of_calls(calls: tuple[Any, ...]) -> jax.Array:
    """Return the last output of a layer; of a layer that is called date by date the rows of all."""
    last = [_last(output) for output in calls]
    return last[0] if len(last) == 1 else jnp.concatenate(last)


def _last(output: Any) -> jax.Array:
    """Return the last of several outputs; a map of a transformer comes with its class token."""
    while isinstance(output, list | tuple):
        output = output[0] if isinstance(output, tuple) else output[-1]
    return output


def _pool(activation: jax.Array) -> jax.Array:
    """Average [B, ..., D] over the axes between B and D: [B, D] float32."""
    axes = tuple(range(1, activation.ndim - 1))
    return jnp.mean(activation.astype(jnp.float32), axis=axes)


def _unknown(name: str, names: Iterable[str]) -> UserError:
    known = list(names)
    if nearest := difflib.get_close_matches(name, known, n=5, cutoff=0.5):
        hint = f"did you mean {', '.join(nearest)}?"
    else:  # a large network has hundreds of layers; the blocks show what names look like
        hint = f"expected {', '.join(n for n in known if n.count('/') <= 1)} or a layer within"
    return UserError(f"the model has no layer {name!r}; {hint}")
