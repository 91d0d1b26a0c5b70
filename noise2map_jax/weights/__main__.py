"""Export the weights of a finished run, or list the content of weights.

python -m noise2map_jax.weights export --workdir=RUN --output=FOLDER [--max_shard_size=200MB]
python -m noise2map_jax.weights file --workdir=RUN --output=FILE.safetensors
python -m noise2map_jax.weights inspect PATH
"""

import argparse
import re
import sys

from absl import logging

from noise2map_jax.buckets.names import shown
from noise2map_jax.command_name import command_name
from noise2map_jax.errors import UserError
from noise2map_jax.weights.export import export
from noise2map_jax.weights.single_file import write_single_file
from noise2map_jax.weights.summary import summarize

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}  # the units of diffusers


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    command = command_name("noise2map-weights", "noise2map_jax.weights")
    parser = argparse.ArgumentParser(
        prog=command,
        description=(__doc__ or "").replace("python -m noise2map_jax.weights", command),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    out = commands.add_parser("export", help="write weights to publish", allow_abbrev=False)
    out.add_argument("--workdir", required=True, help="work folder of a finished run")
    out.add_argument("--output", required=True, help="folder to write: new, or an earlier export")
    out.add_argument("--max_shard_size", default="", help="such as 200MB; default: one file")
    file = commands.add_parser("file", help="write one file of float16", allow_abbrev=False)
    file.add_argument("--workdir", required=True, help="work folder of a finished run of one task")
    file.add_argument("--output", required=True, help="file to write, .safetensors")
    look = commands.add_parser("inspect", help="list the content of weights", allow_abbrev=False)
    look.add_argument("path", help="a folder, a .safetensors or .pth file, shipped:, hf:")
    return parser.parse_args(argv)


def parse_size(text: str) -> int | None:
    """Read a size in bytes, such as 200MB; an empty text means no limit."""
    if not text:
        return None
    match = re.fullmatch(r"(\d+)(KB|MB|GB|)", text)
    if match is None:
        raise UserError(f"max_shard_size is {text!r}; expected bytes, such as 200000000 or 200MB")
    return int(match[1]) * UNITS[match[2]]


def main(argv: list[str] | None = None) -> int:
    """Export or inspect; a user's mistake is one line on stderr and exit code 2."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    logging.set_verbosity(logging.ERROR)
    try:
        if arguments.command == "inspect":
            lines = [summarize(arguments.path)]
        else:
            lines = _export(arguments)
    except UserError as error:
        print(f"error: {shown(str(error))}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


def _export(arguments: argparse.Namespace) -> list[str]:
    """Export a run, and list the files that were written."""
    workdir, output = arguments.workdir, arguments.output
    try:
        if arguments.command == "file":
            paths = [write_single_file(workdir, output)]
        else:
            size = parse_size(arguments.max_shard_size)
            paths = export(workdir, output, max_shard_size=size)
    except OSError as error:  # a full disk, or a folder without write permission
        where = error.filename or output
        raise UserError(f"{where}: {error.strerror}; choose another --output") from error
    return [f"{path.stat().st_size:>14,} bytes  {path}" for path in paths]


if __name__ == "__main__":
    sys.exit(main())
