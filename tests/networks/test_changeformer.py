"""ChangeFormer with its side outputs, against the published code."""

import golden_networks
import jax
import numpy as np
import pair_networks
import pytest

from noise2map_jax.networks.torch_names import to_torch


@pytest.mark.usefixtures("highest_precision")
def test_output_and_side_outputs_are_those_of_the_published_code():
    golden = golden_networks.Golden("changeformer")
    network = pair_networks.changeformer(golden)
    variables = golden.variables(network)

    @jax.jit
    def predict(variables, x):
        return network.apply(variables, x, method="with_side_outputs")

    logits, sides = predict(variables, golden["x"])
    np.testing.assert_allclose(logits, golden["y"], rtol=0, atol=1e-4)
    for number, side in zip((4, 3, 2, 1), sides, strict=True):
        np.testing.assert_allclose(side, golden[f"side{number}"], rtol=0, atol=1e-4)
    assert golden_networks.count(network, golden["x"].shape) == golden.config["parameters"]
    for name, tensor in to_torch(variables).items():
        np.testing.assert_array_equal(tensor, golden.tensors[name], err_msg=name)
