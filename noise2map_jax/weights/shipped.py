"""Weights that come with the project, by name: `shipped:drawn_ss`.

They were trained on drawn scenes alone, so no licence of images binds them. Each file is what
`single_file` writes of a run of the config of its name; but there the dataset had another name.
"""

import pathlib

from noise2map_jax.errors import UserError

PREFIX = "shipped:"
FOLDER = pathlib.Path(__file__).parent / "drawn"


def names() -> list[str]:
    """Name the weights that come with the project, sorted."""
    return sorted(f"{PREFIX}{path.stem}" for path in FOLDER.glob("*.safetensors"))


def shipped(name: str) -> pathlib.Path:
    """Find weights that come with the project.

    Args:
        name: such as `shipped:drawn_ss`.

    Returns:
        The file, part of the installed package.

    Raises:
        UserError: there are none of this name; the line lists the names.
    """
    if name not in names():
        raise UserError(f"no weights {name!r} come with the project, only {', '.join(names())}")
    return FOLDER / f"{name.removeprefix(PREFIX)}.safetensors"
