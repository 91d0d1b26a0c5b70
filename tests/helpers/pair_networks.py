"""Networks for pairs, made from the configs of golden values; all are thin."""

import golden_networks

from noise2map_jax.networks.bit import BIT
from noise2map_jax.networks.changeformer import ChangeFormer
from noise2map_jax.networks.elgcnet import ELGCNet
from noise2map_jax.networks.fc_original import FCOriginal
from noise2map_jax.networks.fc_siam import FCSiam
from noise2map_jax.networks.resnet import ResNet
from noise2map_jax.networks.unet import UNet


def _fields(config, *names):
    return {name: config[name] for name in names}


def _over_resnet(network, config, **options):
    encoder = ResNet(**golden_networks.resnet_fields(config))
    channels = tuple(config["decoder_channels"])
    return network(2, encoder=encoder, decoder_channels=channels, **options)


def bit(config, **options):
    resnet = dict(config["resnet"])
    widths = (resnet.pop("stem_width"), *resnet.pop("widths"))
    assert all(dilation == [1, 1] for dilation in resnet.pop("dilations"))
    names = ("dim", "tokens", "heads", "encoder_depth", "encoder_head_dim")
    names += ("decoder_depth", "decoder_head_dim", "mlp_dim")
    return BIT(2, resnet=ResNet(widths=widths, **resnet), **_fields(config, *names), **options)


def changeformer(config, **options):
    names = ("depths", "embed_dims", "num_heads", "sr_ratios", "patch_sizes", "decoder_dim")
    return ChangeFormer(2, **_fields(config, *names), **options)


def elgcnet(config, **options):
    names = ("depths", "enc_channels", "dec_embed_dim", "heads", "mlp_ratio")
    return ELGCNet(2, **_fields(config, *names), **options)


def fcef_resnet(config, **options):
    return _over_resnet(UNet, config, **options)


def fcsiamconc_resnet(config, **options):
    return _over_resnet(FCSiam, config, fusion="conc", **options)


def fcsiamdiff_resnet(config, **options):
    return _over_resnet(FCSiam, config, fusion="diff", **options)


def fcsiamdiff_original(config, **options):
    return FCOriginal(2, fusion="diff", widths=tuple(config["widths"]), **options)
