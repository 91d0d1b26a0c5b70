"""The method as pure functions: noise, losses, scores, augmentation; no files, no config."""
