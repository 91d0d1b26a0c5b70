import pytest
from golden_networks import Golden, count

from noise2map_jax.networks.deeplabv3 import DeepLabV3
from noise2map_jax.networks.resnet import RESNETS, ResNet


@pytest.mark.usefixtures("highest_precision")
def test_parity():
    golden = Golden("deeplabv3_resnet")
    encoder = ResNet(**golden.resnet()).dilated(golden.config["output_stride"])
    golden.check(DeepLabV3(2, encoder, **golden.fields("decoder_channels", "atrous_rates")))


@pytest.mark.parametrize(
    ("encoder", "parameters"),
    [("resnet18", 15_899_202), ("resnet34", 26_007_362), ("resnet50", 39_633_986)],
)
def test_parameters(encoder, parameters):
    assert count(DeepLabV3(2, RESNETS[encoder].dilated(8))) == parameters
