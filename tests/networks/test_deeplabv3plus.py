import pytest
from golden_networks import Golden, count

from noise2map_jax.networks.deeplabv3plus import DeepLabV3Plus
from noise2map_jax.networks.resnet import RESNETS, ResNet


@pytest.mark.usefixtures("highest_precision")
def test_parity():
    golden = Golden("deeplabv3plus_resnet")
    encoder = ResNet(**golden.resnet()).dilated(golden.config["output_stride"])
    fields = golden.fields("decoder_channels", "atrous_rates", "low_level_channels")
    golden.check(DeepLabV3Plus(2, encoder, **fields))


@pytest.mark.parametrize(
    ("encoder", "parameters"),
    [("resnet18", 12_329_554), ("resnet34", 22_437_714), ("resnet50", 26_677_842)],
)
def test_parameters(encoder, parameters):
    assert count(DeepLabV3Plus(2, RESNETS[encoder].dilated(16))) == parameters
