"""Thin shapes of the networks that Noise2Map is compared with, for two CPU cores.

This file is no study by itself; see `rivals_ss.py` and `rivals_cd.py`. They have a part of the
published channels, most a quarter to a half; still, a step of most costs less than one of
Noise2Map's thin backbone, which keeps many channels at full resolution.
"""

import json
from collections.abc import Mapping
from typing import Any

RESNET = {"widths": [32, 32, 64, 96, 128], "blocks": [1, 1, 1, 1]}
MIT = {"embed_dims": [32, 48, 64, 96], "num_heads": [1, 2, 4, 4], "depths": [2, 2, 1, 1]}
DECODER = [96, 64, 48, 32, 16]
# model.options by model.name.
THIN: Mapping[str, Mapping[str, Any]] = {
    "unet": {"encoder": RESNET, "decoder_channels": DECODER},
    "unetplusplus": {"encoder": RESNET, "decoder_channels": DECODER},
    # On small tiles the published rates of 12, 24 and 36 see only the centre of their kernels.
    "deeplabv3plus": {
        "encoder": RESNET,
        "decoder_channels": 64,
        "low_level_channels": 24,
        "atrous_rates": [2, 4, 6],
    },
    "pspnet": {
        "encoder": {"widths": [32, 32, 64], "blocks": [2, 2]},
        "psp_out_channels": 64,
    },
    "upernet": {"encoder": RESNET, "decoder_channels": 64},
    "segformer": {"encoder": MIT, "decoder_channels": 64},
    "dpt": {
        "encoder": {"model": {"patch_size": 8, "embed_dim": 96, "depth": 4, "num_heads": 3}},
        "intermediate_channels": [24, 48, 64, 64],
        "fusion_channels": 32,
    },
    "rs3mamba": {
        "backbone": RESNET,
        "stem_width": 16,
        "vssm_width": 16,
        "vssm_depths": [1, 1, 1, 1],
        "state_dim": 4,
        "fusion_heads": 4,
        "decoder_dim": 32,
        "decoder_heads": 4,
        "window_size": 4,
    },
    "fc_ef": {"encoder": RESNET, "decoder_channels": DECODER},
    "fc_siam_conc": {"encoder": RESNET, "decoder_channels": DECODER},
    "fc_siam_diff": {"encoder": RESNET, "decoder_channels": DECODER},
    "bit": {
        "resnet": {"widths": [32, 32, 64, 96], "blocks": [1, 1, 1]},
        "dim": 32,
        "decoder_depth": 2,
        "encoder_head_dim": 8,
        "decoder_head_dim": 8,
        "heads": 4,
        "mlp_dim": 64,
    },
    "changeformer": {
        "embed_dims": MIT["embed_dims"],
        "num_heads": MIT["num_heads"],
        "depths": MIT["depths"],
        "decoder_dim": 32,
    },
    "elgcnet": {
        "enc_channels": [16, 32, 48, 64],
        "depths": [1, 1, 1, 1],
        "dec_embed_dim": 32,
    },
    "changemamba": {
        "embed_dims": [16, 32, 48, 64],
        "depths": [1, 1, 1, 1],
        "mlp_ratio": 2.0,
        "decoder_dim": 32,
    },
}


def options(name: str) -> str:
    """Return the thin shape of a network, as the field `model.options`."""
    return json.dumps(THIN[name], separators=(",", ":"))


def pretrained(name: str) -> tuple[str, ...]:
    """Return the fields that start a network from its denoiser; see `rivals_pretrain.py`."""
    return (f"init_from=runs/denoiser_{name}",)


def variant(name: str, *fields: str, thin: bool, title: str = "") -> str:
    """Write a variant of a study whose network is a rival.

    Args:
        name: `model.name`.
        fields: further `FIELD=VALUE`.
        thin: whether it has the thin shape.
        title: name of the variant; "" = that of the network.
    """
    if thin:
        fields = (f"model.options={options(name)}", *fields)
    else:  # the paper's settings have two, but batch normalisation measures whole batches
        fields = ("train.num_microbatches=1", *fields)
    return f"{title or name}: {' '.join((f'model.name={name}', *fields))}"
