"""Config files by name: those that come with the project."""

import importlib
import pathlib

from ml_collections import ConfigDict

from noise2map_jax import configs
from noise2map_jax.errors import UserError

FOLDER = pathlib.Path(configs.__path__[0])
# Others begin with them.
NO_EXPERIMENTS = ("__init__", "ablate_base", "default", "paper_base", "rivals_base")


def names() -> list[str]:
    """Name the experiments that come with the project, sorted."""
    return sorted({path.stem for path in FOLDER.glob("*.py")}.difference(NO_EXPERIMENTS))


def default_config() -> ConfigDict:
    """Return the config of `configs/default.py`, which has every field of an experiment."""
    # By name, for `configs` finds its modules in a folder that type checkers do not know.
    config: ConfigDict = importlib.import_module(f"{configs.__name__}.default").get_config()
    return config


def config_path(given: str) -> str:
    """Find a config file by its path, or by its name where it comes with the project.

    Args:
        given: `mine.py` or `ss_buildings`. What follows a colon is the config's own argument, as in
            `ablate_noise:cd`, and is kept. A file that is called like a shipped config comes first.

    Returns:
        The path, and the argument if there is one: what `--config` of ml_collections takes.

    Raises:
        UserError: it is neither a file nor a name; the line lists the names.
    """
    path, colon, argument = given.partition(":")
    if pathlib.Path(path).is_file():
        return given
    if path not in names():
        raise UserError(
            f"no config file {path!r}; give the path of a file, or the name of a config that comes "
            f"with the project: {', '.join(names())}"
        )
    return f"{FOLDER / path}.py{colon}{argument}"
