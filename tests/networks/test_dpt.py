import jax
import numpy as np
import pytest
from golden_networks import Golden, count

from noise2map_jax.errors import UserError
from noise2map_jax.networks.dpt import DPT
from noise2map_jax.networks.vit import VITS, ViT, ViTEncoder

ENCODER = ("patch_size", "embed_dim", "depth", "num_heads", "img_size", "output_indices")


@pytest.mark.usefixtures("highest_precision")
def test_parity():
    golden = Golden("dpt_vit")
    encoder = ViTEncoder(ViT(**golden.fields(*ENCODER)))
    network = DPT(
        2, encoder, **golden.fields("readout", "intermediate_channels", "fusion_channels")
    )
    golden.check(network, ignored=("encoder.model.norm.",))  # of no use to DPT


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("vit_small_patch16_224", 60_664_149), ("vit_base_patch16_224", 137_806_677)],
)
def test_parameters(name, parameters):
    """Published counts include timm's last norm and its classifier of 21,843 classes."""
    vit = VITS[name]
    idle = 2 * vit.embed_dim + 21_843 * (vit.embed_dim + 1)
    assert count(DPT(2, ViTEncoder(vit))) + idle == parameters


THIN = {"intermediate_channels": (4, 4, 4, 4), "fusion_channels": 4}


@pytest.mark.parametrize(("patch_size", "readout"), [(8, "add"), (32, "ignore")])
def test_other_patches_and_readouts(patch_size, readout):
    vit = ViT(patch_size=patch_size, embed_dim=6, depth=4, num_heads=2)
    network = DPT(3, ViTEncoder(vit), readout=readout, **THIN)
    assert network.stride == 32
    x = jax.ShapeDtypeStruct((2, 64, 32, 4), np.float32)
    y, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
    assert y.shape == (2, 64, 32, 3)
    # 4 / 8 is below 1: a stride; 32 / 4: a transposed convolution.
    upsample = variables["params"]["decoder"]["reassemble_blocks_0"]["upsample"]
    ratio = patch_size // 4
    assert upsample["transposed_kernel"].shape == (ratio, ratio, 4, 4)
    assert not any("projection" in name for name in variables["params"]["decoder"])


@pytest.mark.parametrize(
    ("vit", "options", "message"),
    [
        (ViT(), {"readout": "mean"}, "readout is 'mean'; expected one of cat, add, ignore"),
        (ViT(patch_size=14), {}, "patch_size is 14; DPT takes 4, 8, 16 or 32"),
        (ViT(output_indices=(1, 3)), {}, "output_indices are 2 and intermediate_channels 4"),
    ],
)
def test_impossible_options(vit, options, message):
    with pytest.raises(UserError, match=message):
        count(DPT(2, ViTEncoder(vit), **options))
