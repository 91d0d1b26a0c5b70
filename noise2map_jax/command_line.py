"""The command line of the main program: arguments to flags, a mistake to one line."""

import importlib.machinery
import importlib.util
import pathlib
import sys
import traceback

from absl import flags

from noise2map_jax import configs
from noise2map_jax.buckets.address import is_address
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.run_config import CONFIG
from noise2map_jax.experiment.shipped_configs import config_path

RUN_CONFIG = pathlib.Path(__file__).with_name("experiment") / "config_of_run.py"
OF_A_RUN = ("eval", "baselines")  # what can be done with the config that a run keeps
READ_HERE = ("config", "mode", "workdir")


def parse(argv: list[str]) -> list[str]:
    """Parse the flags of absl and the config.

    Args:
        argv: the name of the program and its arguments.

    Returns:
        What is no flag, after the name of the program.

    Raises:
        UserError: an option, a field or a config that does not exist or cannot be used.
    """
    argv = _with_config(_joined(argv))
    given = _option(argv, "--config")
    argv = [_with_path(a) if a.startswith("--config=") else a for a in argv]
    config = _option(argv, "--config").partition(":")[0]
    _let_import_neighbours(config)
    try:
        rest = flags.FLAGS(argv)
        # ml_collections tells of a file that cannot be read only when the config is used.
        getattr(flags.FLAGS["config"].value, "task", None)
        return rest
    except flags.Error as error:
        raise UserError(_of_the_config(error, config, given) or str(error)) from None
    except SyntaxError as error:
        raise UserError(f"{error.filename}, line {error.lineno}: {error.msg}") from None
    except (AttributeError, KeyError, ImportError) as error:
        raise UserError(_where_raised(error, config) or _no_field(error, argv)) from None
    except OSError as error:
        reason = str(error.__cause__ or error).splitlines()[-1].strip()
        raise UserError(f"{config}: {reason}") from None
    except Exception as error:
        if in_config := _where_raised(error, config):
            raise UserError(in_config) from None
        raise


def _joined(argv: list[str]) -> list[str]:
    """Write the options that are read here as --NAME=VALUE, however they were typed."""
    parts, joined = iter(argv), []
    for part in parts:
        option, equals, value = part.partition("=")
        if option in {dashes + name for dashes in ("-", "--") for name in READ_HERE}:
            part = f"--{option.lstrip('-')}={value if equals else next(parts, '')}"
        joined.append(part)
    return joined


def _with_config(argv: list[str]) -> list[str]:
    """Let what is done with a run take the config that the run keeps, where none is given."""
    workdir = _option(argv, "--workdir")
    if _option(argv, "--mode") not in OF_A_RUN or any(a.startswith("--config=") for a in argv):
        return argv
    if not is_address(workdir) and not (pathlib.Path(workdir) / CONFIG).is_file():
        return argv
    return [*argv[:1], f"--config={RUN_CONFIG}:{workdir}", *argv[1:]]


def _with_path(argument: str) -> str:
    """Name the file that gives the config; the `config.json` of a run means that run's config."""
    option, _, given = argument.partition("=")
    folder, _, name = given.rpartition("/")  # as text: a path would change s3://
    name, colon, own = name.partition(":")
    if name != CONFIG:
        return f"{option}={config_path(given)}"
    if colon:
        raise UserError(f"--config={given}: the config of a run takes no argument {own!r}")
    return f"{option}={RUN_CONFIG}:{folder or '.'}"


def _let_import_neighbours(config: str) -> None:
    """Let a config file import files beside it, and `configs` as in a checkout.

    They come first, as beside any Python program: a file of the same name in the folder where the
    command is typed is not what the config means.
    """
    folder = pathlib.Path(config).resolve().parent
    if config:
        sys.path.insert(0, str(folder))
    if config and folder.name == "configs":
        # One package of both: a folder without __init__.py would lose to the project's.
        spec = importlib.machinery.ModuleSpec("configs", None, is_package=True)
        spec.submodule_search_locations = [str(folder), *configs.__path__]
        both = importlib.util.module_from_spec(spec)
        del both.__file__  # None: `inspect` fails at it where it has met another `configs` before
        sys.modules["configs"] = both
    elif importlib.util.find_spec("configs") is None:
        sys.modules["configs"] = configs


def _option(argv: list[str], name: str) -> str:
    """Return the last value of an option on the command line, or an empty string."""
    values = [a.partition("=")[2] for a in argv if a.startswith(f"{name}=")]
    return values[-1] if values else ""


def _of_the_config(error: flags.Error, config: str, given: str) -> str:
    """Say what a config's own code found wrong; nothing where the error is of a flag.

    ml_collections and absl each raise an error of their own in its place, with its stack as text.
    """
    wrapped = error.__context__
    raised = wrapped.__context__ if wrapped is not None else None
    if raised is None:
        return ""
    if isinstance(raised, UserError):
        return str(raised)
    return _where_raised(raised, config) or f"--config={given}: {raised}"


def _where_raised(error: BaseException, config: str) -> str:
    """Name the line of a config file in which an error came up; nothing if it was not there."""
    stack = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in stack if frame.filename == config]
    if not lines:
        return ""
    return f"{config}, line {lines[-1]}: {type(error).__name__}: {error}"


def _no_field(error: BaseException, argv: list[str]) -> str:
    """Name the option that gives a field which the config does not have."""
    field = str(error).strip("\"'")
    given = next(
        (a for a in argv if any(p in field.split() for p in a.split("=")[0].split(".")[1:])),
        next((a for a in argv if a.split("=")[0].split(".")[-1] in field), field),
    )
    return f"{given}: no such config field ({field}); configs/default.py lists them"
