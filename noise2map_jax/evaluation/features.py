"""Activations of named layers, as features for use elsewhere: retrieval, clustering, probes."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from noise2map_jax.errors import UserError
from noise2map_jax.network.model import Noise2Map
from noise2map_jax.network.unet import UNet

Network = Noise2Map | UNet


def layer_names(
    model: Network, input_shape: tuple[int, ...], *, task: str | None = None
) -> tuple[str, ...]:
    """List the layers whose activations can be asked for; traced, nothing is run.

    Args:
        model: the network.
        input_shape: (B, H, W, C) of its input: decides whether there are resampling layers.
        task: which head to use; for `Noise2Map` only.

    Returns:
        Paths in the tree of parameters, such as `unet/down_blocks_2/resnets_1`, sorted. `norm1`,
        `norm2` and `conv_norm_out` are what comes after their SiLU, with which they are one
        (`norm2` only where the timestep is added, not where it scales and shifts).

    Raises:
        UserError: as of the network's own call.
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
    return tuple(sorted(_outputs(state)))


def features(
    model: Network,
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

    Meant to be compiled, as in

        jax.jit(functools.partial(features, model, layers=("unet/mid_block",), task="ss"))

    where layers behind the last one that is asked for cost nothing.

    Args:
        model: the network.
        params: its tree of parameters.
        x_t: [B, H, W, C], its input.
        timesteps: [B] int.
        layers: names as of `layer_names`. A down block gives its last output, which is that of its
            downsampling if it has one.
        task: which head to use; for `Noise2Map` only.
        use_timestep: [] bool, whether t reaches the network; for `Noise2Map` only.
        pooled: average over the pixels.

    Returns:
        By name: pooled [B, D] float32; else [B, h, w, D] as the layer puts it out (layers within
        attention [B, h * w, D] or [B, D], as those of the timestep's embedding).

    Raises:
        UserError: a layer does not exist; or as of the network's own call.
    """
    options = _options(model, task)
    if isinstance(model, Noise2Map):
        options["use_timestep"] = use_timestep
    wanted = frozenset(layers)
    _, state = model.apply(
        {"params": params},
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


def _options(model: Network, task: str | None) -> dict[str, Any]:
    """Return the keyword arguments of the network's call."""
    if not isinstance(model, Noise2Map):
        return {}
    if task is None:
        names = ", ".join(head.task for head in model.heads)
        raise UserError(f"no task given for the features of a model with heads; it has {names}")
    return {"task": model.head(task).task}


def _is_layer(module: nn.Module, method: str, wanted: frozenset[str] | None) -> bool:
    """Whether Linen keeps an output: those of calls, of all sub-modules or the wanted ones."""
    name = "/".join(module.path)
    return method == "__call__" and bool(name) and (wanted is None or name in wanted)


def _outputs(state: Any) -> dict[str, jax.Array]:
    """Return the kept outputs by the paths of their modules."""
    # A module is called once; what it returned lies in a tuple of all of its calls.
    outputs = {
        "/".join(path[:-1]): calls[0]
        for path, calls in traverse_util.flatten_dict(state.get("intermediates", {})).items()
    }
    return {name: out[-1] if isinstance(out, list) else out for name, out in outputs.items()}


def _pool(activation: jax.Array) -> jax.Array:
    """Average [B, ..., D] over all axes between: [B, D] float32."""
    axes = tuple(range(1, activation.ndim - 1))
    return jnp.mean(activation.astype(jnp.float32), axis=axes)


def _unknown(name: str, names: Iterable[str]) -> UserError:
    known = list(names)
    if nearest := difflib.get_close_matches(name, known, n=5, cutoff=0.5):
        hint = f"did you mean {', '.join(nearest)}?"
    else:  # hundreds, in a large network: the blocks show what names look like
        hint = f"expected {', '.join(n for n in known if n.count('/') <= 1)} or a layer within"
    return UserError(f"the model has no layer {name!r}; {hint}")
