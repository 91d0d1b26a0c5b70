import pytest
from golden_networks import Golden, count

from noise2map_jax.networks.resnet import RESNETS, ResNet
from noise2map_jax.networks.unetplusplus import UNetPlusPlus


@pytest.mark.usefixtures("highest_precision")
def test_parity():
    golden = Golden("unetplusplus_resnet")
    encoder = ResNet(**golden.resnet())
    golden.check(UNetPlusPlus(2, encoder, **golden.fields("decoder_channels")))


@pytest.mark.parametrize(
    ("encoder", "parameters"),
    [("resnet18", 15_970_594), ("resnet34", 26_078_754), ("resnet50", 48_985_890)],
)
def test_parameters(encoder, parameters):
    assert count(UNetPlusPlus(2, RESNETS[encoder])) == parameters
