import jax
import numpy as np
import pytest
from golden_networks import Golden, count

from noise2map_jax.networks.mit import MITS, MiT
from noise2map_jax.networks.segformer import SegFormer
from noise2map_jax.networks.transformers_names import from_transformers

ENCODER = ("embed_dims", "num_heads", "mlp_ratios", "depths", "sr_ratios")


@pytest.mark.usefixtures("highest_precision")
def test_parity():
    golden = Golden("segformer_mit")
    encoder = MiT(**golden.fields(*ENCODER))
    golden.check(SegFormer(2, encoder, **golden.fields("decoder_channels")))


@pytest.mark.usefixtures("highest_precision")
def test_parity_with_transformers():
    golden = Golden("segformer_transformers")
    encoder = MiT(
        embed_dims=tuple(golden.config["hidden_sizes"]),
        num_heads=tuple(golden.config["num_attention_heads"]),
        epsilon=1e-5,
        **golden.fields("depths", "sr_ratios", "mlp_ratios"),
    )
    network = SegFormer(
        2, encoder, golden.config["decoder_hidden_size"], dropout_rate=0.1, align_corners=False
    )
    # It leaves logits at stride 4.
    quarter = golden["y"]
    shape = (*golden["x"].shape[:3], 2)
    golden.arrays["y"] = jax.image.resize(quarter, shape, "linear", antialias=False)
    assert np.std(quarter) > 0.5
    golden.check(network, tensors=from_transformers(golden.tensors))


@pytest.mark.parametrize(
    ("encoder", "parameters"),
    [("mit_b0", 3_714_658), ("mit_b1", 13_677_762), ("mit_b2", 24_722_626)],
)
def test_parameters(encoder, parameters):
    assert count(SegFormer(2, MITS[encoder])) == parameters
