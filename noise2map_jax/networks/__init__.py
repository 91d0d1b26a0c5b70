"""The networks that Noise2Map is compared with, their encoders and their layers.

A network maps images [B, H, W, C] to logits [B, H, W, K]; `training=None` is prediction. Parameters
have the names of the published PyTorch code (`torch_names`). The last layers of a network are the
modules at the top whose names begin with `segmentation_head`; all others can be kept when the
number of outputs changes. No files, no config.
"""
