"""`python -m data_prep NAME ...`: turn a dataset as its owner distributes it into shards."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from data_prep import rasterize, warp
from data_prep.advice import inspect
from data_prep.basics.errors import UserError
from data_prep.basics.options import check_name
from data_prep.builders import catalogue
from data_prep.checks import describe, verify
from data_prep.miniatures import command as miniature
from data_prep.shards import beam, destination, manifest, sources, writer

MODULE = "python -m data_prep"
# NAME -> a module with add_arguments and run.
TOOLS: dict[str, ModuleType] = {
    "inspect": inspect,
    "miniature": miniature,
    "verify": verify,
    "describe": describe,
    "warp": warp,
    "rasterize": rasterize,
}


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} ({self.prog} --help lists the options)")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line.

    Args:
      argv: The arguments after `python -m data_prep`.

    Raises:
      UserError: An unknown name or option, or a wrong value.
    """
    command = "noise2map-data" if Path(sys.argv[0]).stem == "noise2map-data" else MODULE
    description = (__doc__ or "").replace(MODULE, command)
    parser = _Parser(prog=command, description=description, allow_abbrev=False)
    names = parser.add_subparsers(dest="command", metavar="NAME", required=True)
    for name, module in (catalogue.BUILDERS | TOOLS).items():
        summary = (module.__doc__ or "").splitlines()[0].replace(MODULE, command)
        one = names.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        if name in TOOLS:
            module.add_arguments(one)
            continue
        catalogue.add_arguments(one, name)
    return parser.parse_args(argv)


def build(args: argparse.Namespace) -> None:
    """Build the dataset that the arguments describe; keep it if it is there and complete.

    Args:
      args: The parsed command line.

    Raises:
      UserError: An option, the source or the dataset that is there is wrong.
    """
    builder = catalogue.BUILDERS[args.command]
    name = args.name or builder.default_name(args)
    check_name(name)
    runner = beam.runner(args.beam_runner, args.beam_options)
    where = manifest.version_dir(args.data_dir, name)
    existing = None if args.overwrite else manifest.read(where)
    if existing is not None:
        writer.clear(args.data_dir, name)
        _check_same(existing, builder.options(args), where)
        lost = [name for name in existing.get("shards", {}) if not (where / name).is_file()]
        if lost:
            raise UserError(f"{where}: {', '.join(lost)} is missing; --overwrite builds it again")
        print(
            f"{where} is there and complete, built from {_compared(existing, args, where)};"
            " --overwrite builds it again and takes in files added to the source since"
        )
    else:
        destination.check_folder(args.data_dir)
        dataset = builder.plan(args, name)
        destination.check_space(dataset, args.data_dir)
        existing = writer.write(dataset, args.data_dir, num_workers=args.num_workers, runner=runner)
    print(manifest.summary(existing, where))


def _check_same(existing: dict[str, Any], options: dict[str, Any], where: Path) -> None:
    """Refuse to return a dataset that was built with other options than those asked for."""
    built_with = existing.get("options", {})
    for option in {**options, **built_with}:
        built, asked = built_with.get(option), options.get(option)
        # on_error does not change the records; the manifest lists the files that were rejected.
        if option != "on_error" and built != asked:
            raise UserError(
                f"{where} was built with {option}={built}, but {asked} was asked for: --overwrite"
                " replaces it, --name keeps both"
            )


def _compared(existing: dict[str, Any], args: argparse.Namespace, where: Path) -> str:
    """Compare the source with the files that the dataset was built from; name these in words.

    Raises:
      UserError: The source holds other files.
    """
    source = getattr(args, "source", None)
    if source is None:
        return str(existing["source"])
    if not source.is_dir():
        return f"a folder named {existing['source']} (--source={source} is not there to compare)"
    files = existing["files"]
    if told := sources.difference(source, files, existing.get("sizes", {})):
        raise UserError(
            f"{where} was built from other files than --source={source} ({told}): --overwrite"
            " replaces it, --name keeps both"
        )
    return f"these files of {source}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    try:
        args = parse(sys.argv[1:] if argv is None else argv)
        if args.command in TOOLS:
            TOOLS[args.command].run(args)
        else:
            build(args)
    except UserError as error:
        print(f"data_prep: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("data_prep: interrupted; the same command starts again", file=sys.stderr)
        return 130
    except OSError as error:  # A full disk, a folder that may not be written, ...
        where = f"{error.filename}: " if error.filename else ""
        print(f"data_prep: error: {where}{error.strerror or error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
