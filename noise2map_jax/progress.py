"""Progress for people: one bar, with images a second and the time left."""

import jax
from tqdm import tqdm


def progress_bar(total: int, label: str, *, initial: int = 0) -> tqdm:
    """Make a bar that counts images; only the first process of several shows one.

    Args:
        total: images in all.
        label: what is going on.
        initial: images already done by an earlier attempt.
    """
    return tqdm(
        total=total,
        initial=initial,
        desc=label,
        unit="img",
        unit_scale=total >= 10_000,
        smoothing=0.05,
        mininterval=0.5,
        disable=jax.process_index() != 0,
    )
