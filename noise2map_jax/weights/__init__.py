"""Reading and writing weights: diffusers folders, the authors' files, the hub; without torch."""

from noise2map_jax.weights.authors import load_authors, read_tensor_file, to_authors
from noise2map_jax.weights.config_file import config_text, read_config, read_json
from noise2map_jax.weights.diffusers import (
    INDEX_FILE,
    WEIGHTS_FILE,
    from_diffusers,
    load_diffusers,
    read_tensors,
    save_diffusers,
    to_diffusers,
)
from noise2map_jax.weights.hub import fetch
from noise2map_jax.weights.names import current_name, diffusers_name
from noise2map_jax.weights.torch_file import read_torch

__all__ = [
    "INDEX_FILE",
    "WEIGHTS_FILE",
    "config_text",
    "current_name",
    "diffusers_name",
    "fetch",
    "from_diffusers",
    "load_authors",
    "load_diffusers",
    "read_config",
    "read_json",
    "read_tensor_file",
    "read_tensors",
    "read_torch",
    "save_diffusers",
    "to_authors",
    "to_diffusers",
]
