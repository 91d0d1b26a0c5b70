"""What a program is called in its own texts: the command that the user typed."""

import pathlib
import sys


def command_name(script: str, module: str) -> str:
    """Return the name of the installed script where it was typed, else `python -m MODULE`.

    Args:
        script: such as `noise2map-predict`.
        module: such as `noise2map_jax.predict`.
    """
    return script if pathlib.Path(sys.argv[0]).stem == script else f"python -m {module}"
