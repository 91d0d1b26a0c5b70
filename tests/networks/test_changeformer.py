"""ChangeFormer with its side outputs, against the published code."""

import golden_networks
import jax
import numpy as np
import pair_networks
import pytest


@pytest.mark.usefixtures("highest_precision")
def test_output_and_side_outputs_are_those_of_the_published_code():
    golden = golden_networks.Golden("changeformer")
    network = pair_networks.changeformer(golden.config)
    variables = golden.variables(network)

    @jax.jit
    def predict(variables, x):
        return network.apply(variables, x, method="with_side_outputs")

    logits, sides = predict(variables, golden["x"])
    np.testing.assert_allclose(logits, golden["y"], rtol=0, atol=1e-4)
    for number, side in zip((4, 3, 2, 1), sides, strict=True):
        np.testing.assert_allclose(side, golden[f"side{number}"], rtol=0, atol=1e-4)
    assert (
        sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
        == (golden.config["parameters"])
    )
