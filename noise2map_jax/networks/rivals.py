"""The rivals by name."""

from typing import Any

from noise2map_jax.network.interface import Head, Network

RIVALS: dict[str, Any] = {}


def create_rival(
    name: str,
    head: Head,
    *,
    encoder: str,
    options: dict[str, Any],
    scaling: str,
    dtype: Any,
    matmul_precision: str,
) -> Network:
    """Build a rival."""
    raise NotImplementedError
