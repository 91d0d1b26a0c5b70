"""The method, pure: noise processes, losses, scores, augmentation. No files, no config."""
