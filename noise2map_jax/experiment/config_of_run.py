"""Config file that loads the config of an earlier run: `--config=.../config_of_run.py:WORKDIR`."""

import pathlib
import tempfile

from ml_collections import ConfigDict

from noise2map_jax.buckets.address import is_address, parse
from noise2map_jax.buckets.store import Store
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.run_config import CONFIG, HISTORY, load_config


def get_config(workdir: str) -> ConfigDict:
    """Return the config of the run in a work folder."""
    if not is_address(workdir):
        return load_config(pathlib.Path(workdir))
    store = Store(parse(workdir))
    with tempfile.TemporaryDirectory() as folder:
        for name in (CONFIG, HISTORY):
            text = store.text(name)
            if text is not None:
                pathlib.Path(folder, name).write_text(text, encoding="utf-8")
            elif name == CONFIG:
                raise UserError(f"no run in {workdir}: it has no {CONFIG}; train first")
        try:
            return load_config(pathlib.Path(folder))
        except UserError as error:
            raise UserError(str(error).replace(folder, workdir)) from None
