"""The noise process of Noise2Map, held as arrays so that processes can be stacked and vmapped."""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from noise2map_jax.errors import UserError


class NoiseMix(struct.PyTreeNode):
    """Scalar weights of three noise sources: n(x) = image * x + swap * swap(x) + gaussian * eps."""

    image: jax.Array  # the image itself: segmentation in the paper
    swap: jax.Array  # the pair with its dates exchanged: change detection in the paper
    gaussian: jax.Array  # standard normal: pretraining


class NoiseProcess(struct.PyTreeNode):
    """A noise process for training and prediction; every field is an array.

    Attributes:
        signal: [T] factor of the clean input, sqrt(alphas_cumprod).
        noise: [T] factor of the noise, sqrt(1 - alphas_cumprod).
        mix: weights of the noise sources.
        timestep_weights: [T] relative frequency of each t in training. Ones give the uniform draw
            of the paper, a single nonzero weight a fixed t; timesteps of weight 0 are never drawn.
        inference_timesteps: [M] int32, the timesteps of prediction; predictions are averaged.
        use_timestep: [] bool, whether t reaches the network.
    """

    signal: jax.Array
    noise: jax.Array
    mix: NoiseMix
    timestep_weights: jax.Array
    inference_timesteps: jax.Array
    use_timestep: jax.Array

    @property
    def num_train_timesteps(self) -> int:
        """Number of timesteps, T."""
        return self.signal.shape[-1]


def create_noise_process(
    alphas_cumprod: jax.Array,
    *,
    image: float = 0.0,
    swap: float = 0.0,
    gaussian: float = 0.0,
    timestep_range: tuple[int, int] = (0, 0),
    min_contrast: float = 0.0,
    contrast_power: float = 0.0,
    inference_timesteps: Sequence[int] = (-1,),
    use_timestep: bool = True,
) -> NoiseProcess:
    """Make a noise process from a schedule's table.

    In training, t is drawn from `timestep_range` if its contrast is at least `min_contrast`, with
    weight `contrast(t) ** contrast_power`. The defaults give the uniform draw of the paper.

    Args:
        alphas_cumprod: [T], values in [0, 1].
        image: weight of the image itself in the noise.
        swap: weight of the pair with its dates exchanged.
        gaussian: weight of standard normal noise.
        timestep_range: t is drawn from [first, last); (0, 0) means all of [0, T). A range of one
            timestep fixes t.
        min_contrast: smallest contrast of t in training, in [0, 1]; see `contrast`.
        contrast_power: 0 draws t uniformly, 1 in proportion to the contrast.
        inference_timesteps: one or more timesteps of prediction; negative values count from the
            end, as in Python.
        use_timestep: whether t reaches the network.

    Returns:
        The process. If all weights are zero, the input is still scaled by `signal`; to leave the
        input unchanged, use `clean_noise_process`.

    Raises:
        UserError: a timestep is out of range, the range is empty, or no timestep remains.
    """
    total = alphas_cumprod.shape[0]
    first, last = timestep_range if tuple(timestep_range) != (0, 0) else (0, total)
    if not 0 <= first < last <= total:
        raise UserError(
            f"timestep_range is [{first}, {last}); expected 0 <= first < last <= T = {total}"
        )
    outside = [t for t in inference_timesteps if not -total <= t < total]
    if outside or not inference_timesteps:
        raise UserError(
            f"inference_timesteps are {tuple(inference_timesteps)}; expected one or more with "
            f"-T <= t < T, T = {total}"
        )
    if not 0 <= min_contrast <= 1 or contrast_power < 0:
        raise UserError(
            f"min_contrast is {min_contrast:g} and contrast_power {contrast_power:g}; expected "
            "min_contrast from 0 to 1 and contrast_power >= 0"
        )
    steps = jnp.arange(total)
    signal, noise = jnp.sqrt(alphas_cumprod), jnp.sqrt(1 - alphas_cumprod)
    left = contrast(signal, noise)
    chosen = (steps >= first) & (steps < last) & (left >= min_contrast)
    weights = jnp.where(chosen, left**contrast_power, 0.0)
    if not isinstance(weights, jax.core.Tracer) and not weights.any():
        raise UserError(
            f"no timestep of [{first}, {last}) remains for training: the largest contrast there "
            f"is {float(left[first:last].max()):.3g}, but min_contrast is {min_contrast:g}"
        )
    return NoiseProcess(
        signal=signal,
        noise=noise,
        mix=NoiseMix(
            image=jnp.float32(image), swap=jnp.float32(swap), gaussian=jnp.float32(gaussian)
        ),
        timestep_weights=weights.astype(jnp.float32),
        inference_timesteps=jnp.asarray([t % total for t in inference_timesteps], jnp.int32),
        use_timestep=jnp.bool_(use_timestep),
    )


def clean_noise_process(
    num_train_timesteps: int,
    *,
    use_timestep: bool = False,
    inference_timesteps: Sequence[int] = (-1,),
) -> NoiseProcess:
    """Make the process of the control, in which the network sees the clean input at every t.

    Args:
        num_train_timesteps: T.
        use_timestep: whether t reaches the network, though it says nothing about the input.
        inference_timesteps: timesteps of prediction.

    Returns:
        A process with signal 1 and noise 0 for all t.
    """
    return create_noise_process(
        jnp.ones(num_train_timesteps),
        use_timestep=use_timestep,
        inference_timesteps=inference_timesteps,
    )


def has_gaussian(process: NoiseProcess) -> bool:
    """Whether the mix of a process has Gaussian noise."""
    return bool(jax.device_get(process.mix.gaussian) != 0)


def noise_draws(process: NoiseProcess, number: int) -> np.ndarray:
    """Return the numbers of the Gaussian noise draws that a prediction averages.

    Args:
        process: the noise process.
        number: number of draws for a process with Gaussian noise.

    Returns:
        [D] int32; D = 1 for a process without Gaussian noise, whose predictions do not vary.
    """
    return np.arange(number if has_gaussian(process) else 1, dtype=np.int32)


def sample_timesteps(process: NoiseProcess, key: jax.Array, num: int) -> jax.Array:
    """Draw t for a training batch.

    Args:
        process: the noise process; its `timestep_weights` give the frequency of each t.
        key: a PRNG key.
        num: batch size B.

    Returns:
        [B] int32.
    """
    logits = jnp.log(process.timestep_weights)
    return jax.random.categorical(key, logits, shape=(num,)).astype(jnp.int32)


def add_noise(
    process: NoiseProcess,
    original_samples: jax.Array,
    swapped_samples: jax.Array,
    gaussian_noise: jax.Array,
    timesteps: jax.Array,
) -> jax.Array:
    """Mix an input with its noise: the forward process of Noise2Map (paper, section III).

    x_t = signal[t] * x + noise[t] * (mix.image * x + mix.swap * swap(x) + mix.gaussian * eps)

    Args:
        process: the tables and the mix.
        original_samples: x, [B, H, W, C], scaled to [-1, 1].
        swapped_samples: swap(x), [B, H, W, C]; x itself for a task with a single image.
        gaussian_noise: eps, [B, H, W, C], standard normal.
        timesteps: t, [B] int.

    Returns:
        x_t, [B, H, W, C].

    Raises:
        AssertionError: other shapes, which would broadcast: one noise or one t for all images.
    """
    chex.assert_rank(original_samples, 4)
    chex.assert_equal_shape([original_samples, swapped_samples, gaussian_noise])
    chex.assert_shape(timesteps, original_samples.shape[:1])
    signal = process.signal[timesteps][:, None, None, None]
    noise = process.noise[timesteps][:, None, None, None]
    mix = process.mix
    structured = (
        mix.image * original_samples + mix.swap * swapped_samples + mix.gaussian * gaussian_noise
    )
    return signal * original_samples + noise * structured


def contrast(signal: jax.Array, noise: jax.Array) -> jax.Array:
    """Return the share of a swapped pair's difference that x_t keeps.

    It is |signal - noise| / (signal + noise). At 0 both halves of x_t are identical and no change
    can be seen (t = 258 of the linear schedule); at 1 the pair is clean.

    Args:
        signal: [T] factor of the clean input.
        noise: [T] factor of the noise.

    Returns:
        [T] float32.
    """
    return jnp.abs(signal - noise) / (signal + noise)
