"""Networks written with their published PyTorch code: config, weights, inputs and outputs."""

import json

import jax
import numpy as np
import programs
import pytest
from safetensors.numpy import load_file

from noise2map_jax.networks.torch_names import from_torch, to_torch

HERE = programs.ROOT / "tests" / "golden" / "networks"  # of sources that may be copied
SHARED = programs.ROOT.parent / "shared" / "golden" / "networks"  # beside the checkout: all


class Golden:
    """A folder of golden values; images are NHWC. Fields of the config are those of modules."""

    def __init__(self, name):
        folders = [folder / name for folder in (HERE, SHARED) if (folder / name).exists()]
        if not folders:
            pytest.skip(f"needs golden values of {name} in {SHARED}")
        self.config = json.loads((folders[0] / "config.json").read_text())
        weights = folders[0] / "model.safetensors"
        self.tensors = load_file(weights) if weights.exists() else {}
        with np.load(folders[-1] / "forward.npz") as arrays:  # the fullest
            self.arrays = {
                key: a.transpose(0, 2, 3, 1) if a.ndim == 4 else a for key, a in arrays.items()
            }

    def __getitem__(self, key):
        return self.arrays[key]

    def fields(self, *names):
        """Fields of the config as attributes of a module; lists are tuples."""
        values = {name: self.config[name] for name in names}
        return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}

    def resnet(self):
        """The fields of the config's `ResNet`."""
        assert self.config["stem_width"] == self.config["widths"][0]
        return self.fields("widths", "blocks")

    def variables(self, network, *, tensors=None, ignored=()):
        """The golden weights as the network's variables."""
        tree = shapes(network, self["x"].shape)
        return from_torch(self.tensors if tensors is None else tensors, tree, ignored=ignored)

    def check(self, network, *, tensors=None, ignored=(), atol=1e-4):
        """Check the output, the encoder's features where there are any, and names and layout."""
        tensors = self.tensors if tensors is None else tensors
        variables = self.variables(network, tensors=tensors, ignored=ignored)
        for name, tensor in to_torch(variables).items():
            np.testing.assert_array_equal(tensor, tensors[name], err_msg=name)

        @jax.jit
        def run(variables, x):
            def encoder(module, method):
                return module.name == "encoder" and method == "__call__"

            options = {"capture_intermediates": encoder, "mutable": ["intermediates"]}
            y, kept = network.apply(variables, x, **options)
            return y, kept.get("intermediates", {}).get("encoder", {}).get("__call__")

        y, captured = run(variables, self["x"])
        np.testing.assert_allclose(y, self["y"], atol=atol, rtol=0)
        for number, feature in enumerate(captured[0] if captured else ()):
            for key, part in (
                zip((f"feature{number}", f"cls{number}"), feature, strict=True)
                if isinstance(feature, tuple)
                else [(f"feature{number}", feature)]
            ):
                if key in self.arrays:
                    np.testing.assert_allclose(part, self[key], atol=atol, rtol=0, err_msg=key)


def shapes(network, shape):
    """The shapes of a network's variables for inputs of a shape."""
    x = jax.ShapeDtypeStruct(tuple(shape), np.float32)
    return jax.eval_shape(network.init, jax.random.key(0), x)


def count(network, shape=(1, 64, 64, 3)):
    """The number of a network's parameters."""
    params = shapes(network, shape)["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def random_variables(network, shape, seed=0):
    """Variables away from their initial values; faster than `init`, which is compiled."""
    rng = np.random.default_rng(seed)

    def draw(leaf):
        scale = np.prod(leaf.shape[:-1]) ** -0.5 if leaf.ndim > 1 else 0.1
        return (rng.normal(size=leaf.shape) * scale + (leaf.ndim == 1)).astype(np.float32)

    return jax.tree.map(draw, shapes(network, shape))
