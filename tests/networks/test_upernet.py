import pytest
from golden_networks import Golden, count

from noise2map_jax.networks.mit import MITS
from noise2map_jax.networks.resnet import RESNETS, ResNet
from noise2map_jax.networks.upernet import UPerNet


@pytest.mark.usefixtures("highest_precision")
def test_parity():
    golden = Golden("upernet_resnet")
    encoder = ResNet(**golden.resnet())
    golden.check(UPerNet(2, encoder, **golden.fields("decoder_channels", "sizes")))


@pytest.mark.parametrize(
    ("encoder", "parameters"),
    [
        ("resnet18", 19_491_778),
        ("resnet34", 29_599_938),
        ("resnet50", 37_284_930),
        ("mit_b0", 10_732_642),
        ("mit_b1", 21_483_202),
        ("mit_b2", 32_528_066),
    ],
)
def test_parameters(encoder, parameters):
    assert count(UPerNet(2, (RESNETS | MITS)[encoder])) == parameters
