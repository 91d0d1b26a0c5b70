"""The networks that Noise2Map is compared with: from an image or a pair to logits."""
