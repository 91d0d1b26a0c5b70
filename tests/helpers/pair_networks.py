"""Networks for pairs, made from the configs of golden values; all are thin."""

from noise2map_jax.networks.bit import BIT
from noise2map_jax.networks.changeformer import ChangeFormer
from noise2map_jax.networks.changemamba import ChangeMamba
from noise2map_jax.networks.elgcnet import ELGCNet
from noise2map_jax.networks.fc_original import FCOriginal
from noise2map_jax.networks.fc_siam import FCSiam
from noise2map_jax.networks.resnet import ResNet
from noise2map_jax.networks.unet import UNet


def _over_resnet(network, golden, **options):
    encoder = ResNet(**golden.resnet())
    return network(2, encoder=encoder, **golden.fields("decoder_channels"), **options)


def bit(golden):
    config = dict(golden.config["resnet"])
    widths = (config.pop("stem_width"), *config.pop("widths"))
    assert all(dilation == [1, 1] for dilation in config.pop("dilations"))
    resnet = ResNet(widths=widths, **{name: tuple(values) for name, values in config.items()})
    names = ("dim", "tokens", "heads", "encoder_depth", "encoder_head_dim")
    names += ("decoder_depth", "decoder_head_dim", "mlp_dim")
    return BIT(2, resnet=resnet, **golden.fields(*names))


def changeformer(golden):
    names = ("depths", "embed_dims", "num_heads", "sr_ratios", "patch_sizes", "decoder_dim")
    return ChangeFormer(2, **golden.fields(*names))


def changemamba(golden):
    names = ("embed_dims", "depths", "ssm_ratio", "state_dim", "mlp_ratio", "decoder_dim")
    return ChangeMamba(2, **golden.fields(*names))


def elgcnet(golden):
    names = ("depths", "enc_channels", "dec_embed_dim", "heads", "mlp_ratio")
    return ELGCNet(2, **golden.fields(*names))


def fcef_resnet(golden):
    return _over_resnet(UNet, golden)


def fcsiamconc_resnet(golden):
    return _over_resnet(FCSiam, golden, fusion="conc")


def fcsiamdiff_resnet(golden):
    return _over_resnet(FCSiam, golden, fusion="diff")


def fcsiamdiff_original(golden):
    return FCOriginal(2, fusion="diff", **golden.fields("widths"))
