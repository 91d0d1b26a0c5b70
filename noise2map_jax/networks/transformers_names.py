"""Names of SegFormer's tensors in transformers, as those of segmentation_models.pytorch."""

import re
from collections.abc import Mapping

import numpy as np

# Beginnings of names of transformers before version 5, which files on the hub still have.
_BEFORE_5 = {
    r"segformer\.encoder\.patch_embeddings\.(\d+)\.": r"segformer.stages.\1.patch_embeddings.",
    r"segformer\.encoder\.layer_norm\.(\d+)\.": r"segformer.stages.\1.layer_norm.",
    r"segformer\.encoder\.block\.(\d+)\.(\d+)\.": r"segformer.stages.\1.blocks.\2.",
    r"decode_head\.linear_c\.(\d+)\.": r"decode_head.linear_projections.\1.",
}
_BLOCKS_BEFORE_5 = {
    ".attention.self.query.": ".attention.q_proj.",
    ".attention.self.key.": ".attention.k_proj.",
    ".attention.self.value.": ".attention.v_proj.",
    ".attention.self.sr.": ".attention.sequence_reduction.sequence_reduction.",
    ".attention.self.layer_norm.": ".attention.sequence_reduction.layer_norm.",
    ".attention.output.dense.": ".attention.o_proj.",
    ".layer_norm_1.": ".layernorm_before.",
    ".layer_norm_2.": ".layernorm_after.",
    ".mlp.dense1.": ".mlp.fc1.",
    ".mlp.dense2.": ".mlp.fc2.",
}
# Patterns of names and their replacements, in this order; `{i}` stands for the stage from 1.
_STAGE = r"segformer\.stages\.(\d+)\."
_MODULES = {
    r"blocks\.(\d+)\.attention\.sequence_reduction\.sequence_reduction\.": r"block{i}.\1.attn.sr.",
    r"blocks\.(\d+)\.attention\.sequence_reduction\.layer_norm\.": r"block{i}.\1.attn.norm.",
    r"blocks\.(\d+)\.attention\.(q|k|v)_proj\.": r"block{i}.\1.attn.\2.",
    r"blocks\.(\d+)\.attention\.o_proj\.": r"block{i}.\1.attn.proj.",
    r"blocks\.(\d+)\.layernorm_before\.": r"block{i}.\1.norm1.",
    r"blocks\.(\d+)\.layernorm_after\.": r"block{i}.\1.norm2.",
    r"blocks\.(\d+)\.mlp\.": r"block{i}.\1.mlp.",
    r"patch_embeddings\.proj\.": r"patch_embed{i}.proj.",
    r"patch_embeddings\.layer_norm\.": r"patch_embed{i}.norm.",
    r"layer_norm\.": r"norm{i}.",
}
_HEAD = {
    "decode_head.linear_fuse.": "decoder.fuse_stage.0.",
    "decode_head.batch_norm.": "decoder.fuse_stage.1.",
    "decode_head.classifier.": "segmentation_head.0.",
}


def from_transformers(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rename tensors of `SegformerForSemanticSegmentation`, for `torch_names.from_torch`.

    Names may be those of transformers 5 or of versions before. Keys and values, apart in
    transformers, become one linear layer `kv`. Names that transformers does not use stay as they
    are.
    """
    tensors = {_current(name): tensor for name, tensor in tensors.items()}
    stages = {int(match[1]) for name in tensors if (match := re.match(_STAGE, name))}
    renamed = {_renamed(name, len(stages)): tensor for name, tensor in tensors.items()}
    for name in [name for name in renamed if ".attn.k." in name]:
        value = name.replace(".attn.k.", ".attn.v.")
        if value in renamed:
            both = [renamed.pop(name), renamed.pop(value)]
            renamed[name.replace(".attn.k.", ".attn.kv.")] = np.concatenate(both)
    return renamed


def _current(name: str) -> str:
    """Return the name in transformers 5."""
    for pattern, replacement in _BEFORE_5.items():
        name, found = re.subn(f"^{pattern}", replacement, name)
        if found:
            for before, after in _BLOCKS_BEFORE_5.items():
                name = name.replace(before, after)
            return name
    return name


def _renamed(name: str, num_stages: int) -> str:
    if stage := re.match(_STAGE, name):
        rest = name[stage.end() :]
        for pattern, replacement in _MODULES.items():
            if re.match(pattern, rest):
                i = str(int(stage[1]) + 1)
                return "encoder." + re.sub(pattern, replacement.replace("{i}", i), rest)
    if linear := re.match(r"decode_head\.linear_projections\.(\d+)\.proj\.(.+)", name):
        # Here the deepest stage is the first.
        return f"decoder.mlp_stage.{num_stages - 1 - int(linear[1])}.linear.{linear[2]}"
    for prefix, replacement in _HEAD.items():
        if name.startswith(prefix):
            return replacement + name.removeprefix(prefix)
    return name
