import jax
import numpy as np
import pytest
from golden_networks import count, shapes

from noise2map_jax.errors import UserError
from noise2map_jax.networks.resnet import RESNETS, ResNet


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("resnet18", 11_176_512), ("resnet34", 21_284_672), ("resnet50", 23_508_032)],
)
def test_parameters(name, parameters):
    """Of torchvision's, without the classifier `fc`."""
    assert count(RESNETS[name]) == parameters


def sizes(encoder, size=64):
    x = jax.ShapeDtypeStruct((1, size, size, 3), np.float32)
    features, _ = jax.eval_shape(encoder.init_with_output, jax.random.key(0), x)
    assert all(
        f.shape[1] * s == size for f, s in zip(features, encoder.feature_strides, strict=True)
    )
    assert tuple(f.shape[-1] for f in features[1:]) == encoder.feature_widths
    return [f.shape[1] for f in features]


def test_sizes_of_features():
    encoder = RESNETS["resnet50"]
    assert sizes(encoder) == [64, 32, 16, 8, 4, 2]
    assert sizes(encoder.dilated(16)) == [64, 32, 16, 8, 4, 4]
    assert sizes(encoder.dilated(8)) == [64, 32, 16, 8, 8, 8]
    assert sizes(encoder.cut(3)) == [64, 32, 16, 8]


def test_a_layer_without_its_stride_keeps_its_projection():
    """So weights fit encoders with and without dilation, also where widths are equal."""
    encoder = ResNet(widths=(4, 4, 4, 4, 4), blocks=(1, 1, 1, 1))
    trees = [shapes(e, (1, 32, 32, 3)) for e in (encoder, encoder.dilated(16), encoder.dilated(8))]
    assert trees[0] == trees[1] == trees[2]
    assert "downsample_0" not in trees[0]["params"]["layer1_0"]
    assert "downsample_0" in trees[0]["params"]["layer4_0"]


def test_cut_keeps_the_layers_before():
    encoder = RESNETS["resnet34"]
    whole, cut = (shapes(e, (1, 64, 64, 3))["params"] for e in (encoder, encoder.cut(3)))
    assert set(cut) == {name for name in whole if not name.startswith(("layer3", "layer4"))}


def test_impossible_options():
    with pytest.raises(UserError, match="output_stride is 4; a ResNet has 8, 16 or 32"):
        ResNet().dilated(4)
    with pytest.raises(UserError, match="encoder_depth is 6; expected 2 to 5"):
        ResNet().cut(6)
    message = "a ResNet of 3 layers .* takes 4 widths, the stem's and each layer's; got 5"
    with pytest.raises(UserError, match=message):
        count(ResNet(blocks=(1, 1, 1)))
