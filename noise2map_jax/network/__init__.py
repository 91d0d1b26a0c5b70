"""The network: the U-Net, its layers and their initial values; no files, no config."""
