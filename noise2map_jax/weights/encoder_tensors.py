"""What names of tensors say about an encoder: its stages, and what a network does not use."""

import re
from collections.abc import Iterable, Mapping

from noise2map_jax.networks.rivals import ENCODERS

Shape = tuple[int, ...]
Stages = dict[str, tuple[int, int]]  # blocks and channels by the stage's name
# ResNet's `layer1.0.`, MiT's `block1.0.`, ViT's `blocks.0.`
_BLOCK = re.compile(r"(?:(layer|block)(\d+)|(blocks))\.(\d+)\.(.+)")
# Their norms of the most channels: those of the block.
_NORMS = ("bn2.weight", "bn3.weight", "norm1.weight", "layer_norm1.weight")
_IN_STAGE = re.compile(r"(?:layer|block|patch_embed|norm)(\d+)\.")
CLASSIFIERS = ("fc.", "head.", "classifier.", "norm.", "fc_norm.")  # and norms before them


def stages_of(shapes: Mapping[str, Shape]) -> Stages:
    """Find the stages of an encoder.

    Args:
        shapes: shapes of its tensors by the names of torchvision, timm or SegFormer's authors;
            those of one axis suffice.
    """
    blocks: dict[str, set[int]] = {}
    channels: dict[str, int] = {}
    for name, shape in shapes.items():
        if match := _BLOCK.fullmatch(name):
            stage = match[3] or match[1] + match[2]
            blocks.setdefault(stage, set()).add(int(match[4]))
            if match[5] in _NORMS:
                channels[stage] = max(channels.get(stage, 0), *shape)
    return {stage: (len(found), channels.get(stage, 0)) for stage, found in blocks.items()}


def not_used(names: Iterable[str], stages: Stages) -> list[str]:
    """Return names in a file that a network knowingly leaves out.

    They are those of a classifier, and of stages after the network's last one.

    Args:
        names: names in the file that the network does not have.
        stages: the network's.
    """
    return [
        name
        for name in names
        if name.startswith(CLASSIFIERS)
        or ((stage := _IN_STAGE.match(name)) and stages and int(stage[1]) > len(stages))
    ]


def same_stages(there: Stages, here: Stages) -> bool:
    """Whether a file has all stages of a network, with as many blocks and channels."""
    return all(there.get(stage) == found for stage, found in here.items())


def describe(stages: Stages) -> str:
    """Describe an encoder, such as `resnet18: 2, 2, 2, 2 blocks of 64, 128, 256, 512 channels`."""
    if not stages:
        return "no blocks of a ResNet, MiT or ViT"
    found = tuple(stages.values())
    names = [name for name, encoder in ENCODERS.items() if encoder.stages == found]
    blocks, channels = (", ".join(map(str, numbers)) for numbers in zip(*found, strict=True))
    return "".join(f"{name}: " for name in names) + f"{blocks} blocks of {channels} channels"
