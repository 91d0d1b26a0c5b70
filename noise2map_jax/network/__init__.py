"""The network, pure: the U-Net, its layers and their initial values. No files, no config."""
