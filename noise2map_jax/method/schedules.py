"""Noise schedules: pure functions from parameters to a table `alphas_cumprod` [T].

Every schedule, variance-preserving or not, has the same kind of table, so tables can be stacked and
compared: x_t = sqrt(alphas_cumprod[t]) * x + sqrt(1 - alphas_cumprod[t]) * noise. T is static; all
other parameters may be traced arrays, so one `jax.vmap` computes a grid of schedules. Names and
defaults are those of the diffusers library.
"""

import inspect
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from noise2map_jax.errors import UserError


def _alphas_cumprod(betas: jax.Array) -> jax.Array:
    """Return prod_{s <= t} (1 - betas[s]), [T], each entry rounded once.

    In float32 a plain product of 1000 factors near 1 is off by several units in the last place,
    which 1 - alphas_cumprod at small t magnifies ten thousandfold. So the rounding error of each
    product is carried along (Dekker 1971), as if the product had twice the digits.
    """

    def split(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        scaled = x * 4097.0  # 2**12 + 1: halves of 12 bits
        high = scaled - (scaled - x)
        return high, x - high

    def multiply(carry: tuple[jax.Array, jax.Array], alpha: jax.Array) -> tuple:
        product, error = carry
        exact_high = product * alpha
        (a, b), (c, d) = split(product), split(alpha)
        exact_low = ((a * c - exact_high) + a * d + b * c) + b * d
        error = error * alpha + exact_low
        return (exact_high, error), exact_high + error

    one = jnp.ones((), betas.dtype)
    return jax.lax.scan(multiply, (one, one - one), 1 - betas)[1]


def linear(
    num_train_timesteps: int, *, beta_start: ArrayLike = 1e-4, beta_end: ArrayLike = 0.02
) -> jax.Array:
    """Make betas linear in t (Ho et al. 2020, section 4); the schedule of the Noise2Map paper.

    Args:
        num_train_timesteps: T.
        beta_start: first beta, scalar.
        beta_end: last beta, scalar.

    Returns:
        alphas_cumprod, [T] float32.
    """
    return _alphas_cumprod(_line(beta_start, beta_end, num_train_timesteps))


def scaled_linear(
    num_train_timesteps: int, *, beta_start: ArrayLike = 1e-4, beta_end: ArrayLike = 0.02
) -> jax.Array:
    """Make the square roots of betas linear in t (Rombach et al. 2022).

    Args:
        num_train_timesteps: T.
        beta_start: first beta, scalar.
        beta_end: last beta, scalar.

    Returns:
        alphas_cumprod, [T] float32.
    """
    return _alphas_cumprod(
        jnp.square(_line(jnp.sqrt(beta_start), jnp.sqrt(beta_end), num_train_timesteps))
    )


def squaredcos_cap_v2(num_train_timesteps: int, *, max_beta: ArrayLike = 0.999) -> jax.Array:
    """Make a squared cosine with capped betas (Nichol, Dhariwal 2021, equation 17, offset 0.008).

    Args:
        num_train_timesteps: T.
        max_beta: upper bound of a beta, scalar.

    Returns:
        alphas_cumprod, [T] float32.
    """
    edges = jnp.arange(num_train_timesteps + 1) / num_train_timesteps  # [T + 1]
    alpha_bar = jnp.square(jnp.cos((edges + 0.008) / 1.008 * (jnp.pi / 2)))
    return _alphas_cumprod(jnp.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], max_beta))


def sigmoid(
    num_train_timesteps: int, *, beta_start: ArrayLike = 1e-4, beta_end: ArrayLike = 0.02
) -> jax.Array:
    """Make betas follow a sigmoid from -6 to 6 (Xu et al. 2022, GeoDiff).

    Args:
        num_train_timesteps: T.
        beta_start: lower asymptote of the betas, scalar.
        beta_end: upper asymptote of the betas, scalar.

    Returns:
        alphas_cumprod, [T] float32.
    """
    rise = jax.nn.sigmoid(_line(-6.0, 6.0, num_train_timesteps))
    return _alphas_cumprod(rise * (jnp.asarray(beta_end) - beta_start) + beta_start)


def rescale_zero_terminal_snr(alphas_cumprod: jax.Array) -> jax.Array:
    """Shift and scale sqrt(alphas_cumprod) so that the last step holds no signal.

    Lin et al. 2024, algorithm 1. The first entry keeps its value.

    Args:
        alphas_cumprod: [T].

    Returns:
        alphas_cumprod, [T]; the last entry is exactly 0.
    """
    root = jnp.sqrt(alphas_cumprod)
    return jnp.square((root - root[-1]) * (root[0] / (root[0] - root[-1])))


def zero_terminal_snr(
    num_train_timesteps: int, *, beta_start: ArrayLike = 1e-4, beta_end: ArrayLike = 0.02
) -> jax.Array:
    """Rescale the linear schedule so that it ends without signal (Lin et al. 2024).

    Args:
        num_train_timesteps: T.
        beta_start: first beta before rescaling, scalar.
        beta_end: last beta before rescaling, scalar.

    Returns:
        alphas_cumprod, [T] float32; the last entry is exactly 0.
    """
    return rescale_zero_terminal_snr(
        linear(num_train_timesteps, beta_start=beta_start, beta_end=beta_end)
    )


def karras_sigmas(
    num_train_timesteps: int,
    *,
    sigma_min: ArrayLike = 0.002,
    sigma_max: ArrayLike = 80.0,
    rho: ArrayLike = 7.0,
) -> jax.Array:
    """Space noise levels evenly in sigma**(1/rho) (Karras et al. 2022, equation 5).

    Args:
        num_train_timesteps: T.
        sigma_min: smallest sigma, in units of the image, scalar.
        sigma_max: largest sigma, in units of the image, scalar.
        rho: the larger, the more steps at low noise, scalar.

    Returns:
        sigmas, [T] float32, rising with t.
    """
    rho = jnp.asarray(rho, jnp.float32)
    line = _line(
        jnp.asarray(sigma_min) ** (1 / rho),
        jnp.asarray(sigma_max) ** (1 / rho),
        num_train_timesteps,
    )
    return line**rho


def karras(
    num_train_timesteps: int,
    *,
    sigma_min: ArrayLike = 0.002,
    sigma_max: ArrayLike = 80.0,
    rho: ArrayLike = 7.0,
) -> jax.Array:
    """Convert the EDM noise levels to variance-preserving form: 1 / (1 + sigma**2).

    EDM adds sigma * noise to the unscaled image. Division by sqrt(1 + sigma**2) brings both to the
    scale of the network's input (c_in with sigma_data = 1, Karras et al. 2022).

    Args:
        num_train_timesteps: T.
        sigma_min: smallest sigma, in units of the image, scalar.
        sigma_max: largest sigma, in units of the image, scalar.
        rho: the larger, the more steps at low noise, scalar.

    Returns:
        alphas_cumprod, [T] float32.
    """
    sigmas = karras_sigmas(num_train_timesteps, sigma_min=sigma_min, sigma_max=sigma_max, rho=rho)
    return 1 / (1 + jnp.square(sigmas))


def sigmas(alphas_cumprod: jax.Array) -> jax.Array:
    """Return sqrt((1 - alphas_cumprod) / alphas_cumprod), the noise level of EDM, [T]."""
    return jnp.sqrt((1 - alphas_cumprod) / alphas_cumprod)


SCHEDULES: dict[str, Callable[..., jax.Array]] = {
    "linear": linear,
    "scaled_linear": scaled_linear,
    "squaredcos_cap_v2": squaredcos_cap_v2,
    "sigmoid": sigmoid,
    "zero_terminal_snr": zero_terminal_snr,
    "karras": karras,
}


def create(name: str, num_train_timesteps: int, parameters: Mapping[str, ArrayLike]) -> jax.Array:
    """Build the table of a schedule by its name.

    Args:
        name: a key of `SCHEDULES`.
        num_train_timesteps: T.
        parameters: scalars by name; each schedule takes only its own, so several schedules can
            share one set of parameters.

    Returns:
        alphas_cumprod, [T] float32.

    Raises:
        UserError: the name is unknown, T is below 2, or a parameter belongs to no schedule.
    """
    if name not in SCHEDULES:
        raise UserError(f"unknown schedule {name!r}; expected one of {', '.join(SCHEDULES)}")
    if num_train_timesteps < 2:
        raise UserError(f"num_train_timesteps is {num_train_timesteps}; expected at least 2")
    accepted = {key: inspect.signature(f).parameters for key, f in SCHEDULES.items()}
    known = set().union(*accepted.values()) - {"num_train_timesteps"}
    if unknown := sorted(set(parameters) - known):
        raise UserError(
            f"unknown schedule parameter {unknown[0]!r}; expected one of {', '.join(sorted(known))}"
        )
    chosen = {key: value for key, value in parameters.items() if key in accepted[name]}
    return SCHEDULES[name](num_train_timesteps, **chosen)


def _line(start: ArrayLike, stop: ArrayLike, num: int) -> jax.Array:
    return jnp.linspace(jnp.asarray(start, jnp.float32), jnp.asarray(stop, jnp.float32), num)
