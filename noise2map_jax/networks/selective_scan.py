"""The selective scan of Mamba (Gu, Dao 2023): a recurrence whose factors depend on the input.

The recurrence runs as `jax.lax.associative_scan`, in about 2 log2(L) steps over all L positions
instead of L steps over one. A CPU has little to gain from that and does the L steps: of 1,024
positions that took a quarter of the time to run and a ninth to compile (an AMD EPYC, one core).
The gradient is the same recurrence backwards, so the backward pass keeps nothing but the factors
and the states, and cannot be differentiated forwards (`jax.jvp`).
"""

import functools

import jax
import jax.numpy as jnp


def by_steps(factors: jax.Array, inputs: jax.Array, *, reverse: bool = False) -> jax.Array:
    """Compute the recurrence of `linear_recurrence` one position after another."""

    def step(state: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        state = now[0] * state + now[1]
        return state, state

    rows = factors.swapaxes(0, 1), inputs.swapaxes(0, 1)
    _, states = jax.lax.scan(step, jnp.zeros_like(inputs[:, 0]), rows, reverse=reverse)
    return states.swapaxes(0, 1)


def by_halves(factors: jax.Array, inputs: jax.Array, *, reverse: bool = False) -> jax.Array:
    """Compute the recurrence of `linear_recurrence` over all positions at once."""

    def combine(
        earlier: tuple[jax.Array, jax.Array], later: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        return earlier[0] * later[0], later[0] * earlier[1] + later[1]

    return jax.lax.associative_scan(combine, (factors, inputs), axis=1, reverse=reverse)[1]


def _scan(factors: jax.Array, inputs: jax.Array, *, reverse: bool = False) -> jax.Array:
    states: jax.Array = jax.lax.platform_dependent(
        factors,
        inputs,
        cpu=functools.partial(by_steps, reverse=reverse),
        default=functools.partial(by_halves, reverse=reverse),
    )
    return states


@jax.custom_vjp
def linear_recurrence(factors: jax.Array, inputs: jax.Array) -> jax.Array:
    """Compute h_t = factors_t h_(t-1) + inputs_t along axis 1, from h = 0.

    Args:
        factors: [B, L, ...].
        inputs: [B, L, ...], of the same shape.

    Returns:
        [B, L, ...], the states after each position.
    """
    return _scan(factors, inputs)


def _forward(
    factors: jax.Array, inputs: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    states = _scan(factors, inputs)
    return states, (factors, states)


def _backward(
    saved: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    factors, states = saved
    # A state enters the loss by itself and through the next one, by that one's factor.
    following = jnp.concatenate([factors[:, 1:], jnp.zeros_like(factors[:, :1])], axis=1)
    of_inputs = _scan(following, gradient, reverse=True)
    before = jnp.concatenate([jnp.zeros_like(states[:, :1]), states[:, :-1]], axis=1)
    return of_inputs * before, of_inputs


linear_recurrence.defvjp(_forward, _backward)


@jax.checkpoint
def selective_scan(
    x: jax.Array, delta: jax.Array, a: jax.Array, b: jax.Array, c: jax.Array, d: jax.Array
) -> jax.Array:
    """Run h_t = exp(delta_t a) h_(t-1) + delta_t b_t x_t and return y_t = c_t h_t + d x_t.

    This is Algorithm 2 of Gu and Dao with their discretisation: a by zero-order hold, b by Euler's
    rule. All is computed in float32. The states take N times the memory of x; so the backward pass
    computes them again instead of keeping them.

    Args:
        x: [B, L, D], sequences.
        delta: [B, L, D], step sizes, positive.
        a: [D, N], rates of the states, negative.
        b: [B, L, N], how inputs enter the N states of a channel.
        c: [B, L, N], how the states are read.
        d: [D], factors of the inputs themselves.

    Returns:
        [B, L, D] float32.
    """
    x, delta, a, b, c, d = (array.astype(jnp.float32) for array in (x, delta, a, b, c, d))
    factors = jnp.exp(delta[..., None] * a[None, None])
    inputs = (delta * x)[..., None] * b[:, :, None, :]
    states = linear_recurrence(factors, inputs)
    return (states * c[:, :, None, :]).sum(-1) + d[None, None] * x
