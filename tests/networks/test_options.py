import pytest

from noise2map_jax.errors import UserError
from noise2map_jax.networks.ddpmcd import DDPMCD
from noise2map_jax.networks.dpt import DPT
from noise2map_jax.networks.mit import MiT
from noise2map_jax.networks.options import with_options
from noise2map_jax.networks.segformer import SegFormer
from noise2map_jax.networks.unet import UNet

NETWORK = SegFormer(2)
WHOLE = r"whole numbers, each 1 or more, such as \[256, 128, 64, 32, 16\]"


def test_fields_are_replaced_and_the_others_stay():
    options = {"decoder_channels": 8, "encoder": {"depths": (1, 1, 1, 1), "drop_path_rate": 0}}
    found = with_options(NETWORK, options, "segformer")
    assert found == NETWORK.clone(
        decoder_channels=8, encoder=MiT(depths=(1, 1, 1, 1), drop_path_rate=0)
    )


def test_numbers_that_count_from_zero_may_be_zero():
    assert with_options(DDPMCD(2, None), {"timesteps": (0, 5)}, "ddpmcd").timesteps == (0, 5)
    indices = {"encoder": {"model": {"output_indices": (0, 1, 2, 3)}}}
    assert with_options(DPT(2), indices, "dpt").encoder.model.feature_blocks == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("network", "options", "words"),
    [
        (UNet(2), {"decoder_channels": 3}, f"decoder_channels is 3; expected {WHOLE}"),
        (UNet(2), {"decoder_channels": "abc"}, f"is 'abc'; expected {WHOLE}"),
        (UNet(2), {"decoder_channels": ()}, f"is (); expected {WHOLE}".replace("()", r"\(\)")),
        (UNet(2), {"decoder_channels": (8, 0)}, WHOLE),
        (UNet(2), {"decoder_channels": (8, 8.5)}, WHOLE),
        (UNet(2), {"decoder_channels": (8, True)}, WHOLE),
        (UNet(2), {"encoder": {"bottleneck": 1}}, "encoder's bottleneck is 1; expected true or fa"),
        (NETWORK, {"decoder_channels": -3}, "is -3; expected a whole number, 1 or more"),
        (NETWORK, {"dropout_rate": 1}, "is 1; expected 0 or more and less than 1"),
        (NETWORK, {"dropout_rate": float("nan")}, "is nan; expected 0 or more and less than 1"),
        (NETWORK, {"encoder": {"epsilon": 0}}, "epsilon is 0; expected a number above 0"),
        (DPT(2), {"readout": 3}, "readout is 3; expected a text"),
        (DPT(2), {"encoder": {"model": {"output_indices": (-1, 2)}}}, "each 0 or more, such as"),
        (DPT(2), {"num_classes": 3}, "dpt has no num_classes; it has encoder, readout"),
    ],
)
def test_a_value_of_another_kind_is_refused(network, options, words):
    with pytest.raises(UserError, match=words):
        with_options(network, options, "dpt")
