import pytest
from golden_networks import Golden, count

from noise2map_jax.networks.mit import MiT
from noise2map_jax.networks.resnet import RESNETS, ResNet
from noise2map_jax.networks.unet import UNet


@pytest.mark.usefixtures("highest_precision")
def test_parity():
    golden = Golden("unet_resnet")
    encoder = ResNet(**golden.resnet())
    golden.check(UNet(2, encoder, **golden.fields("decoder_channels")))


@pytest.mark.parametrize(
    ("encoder", "parameters"),
    [("resnet18", 14_328_354), ("resnet34", 24_436_514), ("resnet50", 32_521_250)],
)
def test_parameters(encoder, parameters):
    assert count(UNet(2, RESNETS[encoder])) == parameters


def test_over_a_mix_transformer():
    """The block at stride 2 has no skip."""
    assert count(UNet(2, MiT())) == 5_549_634
