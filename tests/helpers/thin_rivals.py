"""Configs of rivals with few channels, of the shapes of golden values where there are some."""

import json

import thin_config

from noise2map_jax.networks.rivals import RIVALS

RESNET = {"widths": [8, 8, 12, 16, 24], "blocks": [1, 2, 1, 1]}
MIT = {"embed_dims": [8, 16, 20, 32], "depths": [1, 2, 1, 1]}
DECODER = [32, 24, 16, 12, 8]
OPTIONS = {
    "unet": {"encoder": RESNET, "decoder_channels": DECODER},
    "unetplusplus": {"encoder": RESNET, "decoder_channels": DECODER},
    "deeplabv3": {"encoder": RESNET, "decoder_channels": 16, "atrous_rates": [2, 3, 5]},
    "pspnet": {"encoder": {"widths": [8, 8, 12], "blocks": [1, 2]}, "psp_out_channels": 16},
    "segformer": {"encoder": MIT, "decoder_channels": 16},
    "dpt": {
        "encoder": {"model": {"embed_dim": 24, "depth": 4, "num_heads": 3, "img_size": [96, 64]}},
        "intermediate_channels": [8, 12, 16, 16],
        "fusion_channels": 12,
    },
    "rs3mamba": {
        "backbone": {"widths": [4, 4, 6, 8, 8], "blocks": [1, 1, 1, 1]},
        **{"stem_width": 2, "vssm_width": 4, "vssm_depths": [1, 2, 1, 1], "state_dim": 3},
        **{"fusion_heads": 2, "decoder_dim": 16, "decoder_heads": 4, "window_size": 4},
    },
    "fc_ef": {"encoder": RESNET, "decoder_channels": DECODER},
    "fc_siam_conc": {"encoder": RESNET, "decoder_channels": DECODER},
    "fc_siam_diff": {"encoder": RESNET, "decoder_channels": DECODER},
    "fc_siam_diff_original": {"widths": [4, 8, 16, 32]},
    "bit": {
        "resnet": {"widths": [8, 8, 12, 16], "blocks": [1, 2, 2]},
        "decoder_depth": 2,
        "decoder_head_dim": 8,
    },
    "changeformer": {"depths": [1, 2, 1, 1], "embed_dims": [8, 16, 20, 32], "decoder_dim": 12},
    "elgcnet": {"depths": [1, 2, 1, 1], "enc_channels": [8, 12, 16, 24], "dec_embed_dim": 12},
    "changemamba": {
        **{"embed_dims": [6, 8, 20], "depths": [1, 2, 1], "ssm_ratio": 1.5, "state_dim": 2},
        **{"mlp_ratio": 2.0, "decoder_dim": 6},
    },
    "ddpmcd": {"classifier_width": 8},
}


def config_of(name, data_dir="", task="", **options):
    """The config of a thin rival; `options` are changed."""
    config = thin_config.get_config()
    config.task = task or RIVALS[name].tasks[0]
    config.data.data_dir = str(data_dir)
    config.data.dataset = "thin_cd" if config.task == "cd" else "thin_ss"
    if config.task == "cd":
        config.data.classes = ("no_change", "change")
    elif config.task == "denoise":
        config.data.classes = ()
    config.model.name = name
    config.model.options = json.dumps(OPTIONS[name] | options)
    return config
