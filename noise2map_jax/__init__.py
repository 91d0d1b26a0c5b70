"""Noise2Map in JAX: a diffusion U-Net that maps buildings and their changes in one forward pass."""

__version__ = "0.1.0"
