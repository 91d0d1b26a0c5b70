import jax
import jax.numpy as jnp
import numpy as np
import pytest

from noise2map_jax.errors import UserError
from noise2map_jax.networks.torch_names import from_torch, to_torch, torch_name

NAMES = {
    "encoder/layer1_0/conv1/kernel": "encoder.layer1.0.conv1.weight",
    "encoder/layer10_12/downsample_1/scale": "encoder.layer10.12.downsample.1.weight",
    "decoder/aspp_0/convs_1_0_0/kernel": "decoder.aspp.0.convs.1.0.0.weight",
    "decoder/conv_0/kernel": "decoder.conv.0.weight",
    "decoder/blocks/x_0_4/conv1_0/kernel": "decoder.blocks.x_0_4.conv1.0.weight",
    "a_3/residual_conv_block1/batch_norm_2/bias": "a.3.residual_conv_block1.batch_norm_2.bias",
    "a_3/residual_conv_block2/conv_1/kernel": "a.3.residual_conv_block2.conv_1.weight",
    "up/upsample/transposed_kernel": "up.upsample.weight",
    "encoder/cls_token": "encoder.cls_token",
}


@pytest.mark.parametrize("path", NAMES)
def test_names(path):
    assert torch_name(("params", *path.split("/"))) == NAMES[path]


def test_names_of_statistics():
    path = ("batch_stats", "layer1_0", "bn1")
    assert torch_name((*path, "mean")) == "layer1.0.bn1.running_mean"
    assert torch_name((*path, "var")) == "layer1.0.bn1.running_var"


def variables():
    numbers = iter(range(1, 100))

    def array(*shape):
        return np.full(shape, next(numbers), np.float32) + np.arange(np.prod(shape)).reshape(shape)

    return {
        "params": {
            "conv1": {"kernel": array(3, 2, 4, 5), "bias": array(5)},
            "up": {"transposed_kernel": array(2, 3, 4, 5)},
            "fc1": {"kernel": array(4, 6)},
            "pos_embed": array(1, 7, 4),
        },
        "batch_stats": {"bn1": {"mean": array(5), "var": array(5)}},
    }


def test_layouts():
    tensors = to_torch(variables())
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "conv1.weight": (5, 4, 3, 2),  # outputs, inputs, rows, columns
        "conv1.bias": (5,),
        "up.weight": (4, 5, 2, 3),  # inputs, outputs, rows, columns
        "fc1.weight": (6, 4),
        "pos_embed": (1, 7, 4),
        "bn1.running_mean": (5,),
        "bn1.running_var": (5,),
    }
    assert all(tensor.flags["C_CONTIGUOUS"] for tensor in tensors.values())
    kernel = variables()["params"]["conv1"]["kernel"]
    assert tensors["conv1.weight"][4, 3, 2, 1] == kernel[2, 1, 3, 4]


def test_there_and_back():
    tensors = to_torch(variables()) | {
        "bn1.num_batches_tracked": np.array(3),
        "head.bias": np.ones(2),
    }
    back = from_torch(tensors, variables(), ignored=("head.",))
    jax.tree.map(np.testing.assert_array_equal, back, variables())


def test_every_tensor_that_does_not_fit_is_named():
    tensors = to_torch(variables())
    del tensors["fc1.weight"], tensors["bn1.running_var"]
    tensors |= {"conv1.bias": np.zeros(7), "extra.weight": np.zeros(1), "fc.weight": np.zeros(1)}
    with pytest.raises(UserError) as error:
        from_torch(tensors, variables(), source="resnet.safetensors")
    assert str(error.value) == (
        "resnet.safetensors do not fit the network; tensors "
        "missing: bn1.running_var, fc1.weight; left over: extra.weight, fc.weight; "
        "of another shape: conv1.bias (7,) instead of (5,)"
    )


@pytest.mark.parametrize(
    "tensor", [np.array([1, 2, 3, 4, 5]), np.array([0, 0, 0, 0, np.nan], np.float16)]
)
def test_tensors_without_finite_numbers_are_named(tensor):
    tensors = to_torch(variables()) | {"conv1.bias": tensor}
    with pytest.raises(UserError, match=r"without finite floating-point numbers: conv1\.bias$"):
        from_torch(tensors, variables())


def test_weights_may_have_half_the_bytes():
    tensors = {name: a.astype(jnp.bfloat16) for name, a in to_torch(variables()).items()}
    back = from_torch(tensors, variables())["params"]["conv1"]["bias"]
    assert back.dtype == variables()["params"]["conv1"]["bias"].dtype
    np.testing.assert_array_equal(back, tensors["conv1.bias"].astype(back.dtype))
