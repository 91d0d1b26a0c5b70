"""Networks written with their published PyTorch code: config, weights, inputs and outputs."""

import json

import jax
import numpy as np
import programs
import pytest
from safetensors.numpy import load_file

from noise2map_jax.networks.torch_names import from_torch

HERE = programs.ROOT / "tests" / "golden" / "networks"  # of sources that may be copied
SHARED = programs.ROOT.parent / "shared" / "golden" / "networks"  # beside the checkout: all


class Golden:
    """A folder of golden values; arrays are NHWC."""

    def __init__(self, name):
        folders = [folder / name for folder in (HERE, SHARED) if (folder / name).exists()]
        if not folders:
            pytest.skip(f"needs golden values of {name} in {SHARED}")
        self.config = json.loads((folders[0] / "config.json").read_text())
        weights = folders[0] / "model.safetensors"
        self.tensors = load_file(weights) if weights.exists() else {}
        with np.load(folders[0] / "forward.npz") as arrays:
            self.arrays = {
                key: a.transpose(0, 2, 3, 1) if a.ndim == 4 else a for key, a in arrays.items()
            }

    def __getitem__(self, key):
        return self.arrays[key]

    def variables(self, network, *, tensors=None, ignored=()):
        """The golden weights as the network's variables."""
        tree = shapes(network, self["x"].shape)
        return from_torch(self.tensors if tensors is None else tensors, tree, ignored=ignored)


def shapes(network, shape):
    """The shapes of a network's variables for inputs of a shape."""
    x = jax.ShapeDtypeStruct(tuple(shape), np.float32)
    return jax.eval_shape(network.init, jax.random.key(0), x)


def count(network, shape=(1, 64, 64, 3)):
    """The number of a network's parameters."""
    params = shapes(network, shape)["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def resnet_fields(config):
    """The fields of `ResNet` in a config."""
    assert config["stem_width"] == config["widths"][0]
    return {"widths": tuple(config["widths"]), "blocks": tuple(config["blocks"])}
