import pytest
from golden_networks import Golden, count

from noise2map_jax.networks.pspnet import PSPNet
from noise2map_jax.networks.resnet import RESNETS, ResNet


@pytest.mark.usefixtures("highest_precision")
def test_parity():
    golden = Golden("pspnet_resnet")
    encoder = ResNet(**golden.resnet()).cut(golden.config["encoder_depth"])
    # The package keeps two layers that it does not use.
    idle = ("encoder.layer3.", "encoder.layer4.")
    golden.check(PSPNet(2, encoder, **golden.fields("psp_out_channels", "sizes")), ignored=idle)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("resnet18", 11_334_434), ("resnet34", 21_442_594), ("resnet50", 24_305_602)],
)
def test_parameters(name, parameters):
    """Published counts include the layers that are not used."""
    encoder = RESNETS[name]
    idle = count(encoder) - count(encoder.cut(3))
    assert count(PSPNet(2, encoder.cut(3))) + idle == parameters


def test_parameters_of_the_whole_encoder():
    assert count(PSPNet(2, RESNETS["resnet50"])) == 29_813_314
