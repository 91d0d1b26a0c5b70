import jax
import numpy as np
import pytest
from golden_networks import Golden

from noise2map_jax.networks.torch_names import from_torch
from noise2map_jax.networks.transposed_convolution import ConvTranspose


@pytest.mark.usefixtures("highest_precision")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("transposed_4_stride_2_padding_1", {"stride": 2, "padding": 1}),
        (
            "transposed_3_stride_2_padding_1_output_padding_1",
            {"stride": 2, "padding": 1, "output_padding": 1},
        ),
        ("transposed_3_stride_1_padding_1", {"padding": 1}),
    ],
)
def test_as_in_torch(name, options):
    golden = Golden("primitives")
    size = int(name.split("_")[1])
    # The fixture's images are NHWC, kernels are as they are in PyTorch.
    kernel = golden[f"transposed_{size}_kernel"].transpose(0, 3, 1, 2)
    bias = golden["transposed_4_bias"]  # of both
    layer = ConvTranspose(4, size, **options)
    tree = jax.eval_shape(layer.init, jax.random.key(0), golden["x"])
    variables = from_torch({"weight": kernel, "bias": bias}, tree)
    np.testing.assert_allclose(layer.apply(variables, golden["x"]), golden[name], atol=1e-5)
