"""Config file that loads the config of an earlier run: `--config=.../config_of_run.py:WORKDIR`."""

import pathlib

from ml_collections import ConfigDict

from noise2map_jax.experiment.run_config import load_config


def get_config(workdir: str) -> ConfigDict:
    """Return the config of the run in a work folder."""
    return load_config(pathlib.Path(workdir))
