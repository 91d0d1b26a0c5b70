"""Maps over HTTP: a page to upload images and look at maps, and the same for programs.

    python -m noise2map_jax.serve --workdir=runs/ss
    curl -F image=@A.tif -F output=map http://127.0.0.1:8000/maps -o MAP.tif

It listens on this machine alone unless --host says otherwise. There is no login.
"""

import argparse
import importlib
import ipaddress
import sys

from absl import logging

from noise2map_jax.buckets.names import shown
from noise2map_jax.command_name import command_name
from noise2map_jax.errors import UserError

LIBRARIES = ("starlette", "uvicorn", "python_multipart", "prometheus_client", "pyogrio")


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    command = command_name("noise2map-serve", "noise2map_jax.serve")
    parser = argparse.ArgumentParser(
        prog=command,
        description=(__doc__ or "").replace("python -m noise2map_jax.serve", command),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workdir", required=True, help="a run, an export of it, shipped: or hf:")
    parser.add_argument("--task", default="", help="whose head, for a run of several tasks")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--tile_size", type=int, default=0, help="as of predict")
    parser.add_argument("--overlap", type=int, default=-1, help="as of predict")
    parser.add_argument("--tta", action="store_true", help="as of predict")
    parser.add_argument("--max_upload_mb", type=float, default=200)
    parser.add_argument("--max_upload_seconds", type=float, default=120)
    parser.add_argument("--max_megapixels", type=float, default=50)
    parser.add_argument("--max_seconds", type=float, default=600, help="of one map")
    parser.add_argument("--max_waiting", type=int, default=16, help="maps that wait for their turn")
    parser.add_argument("--keep_minutes", type=float, default=30, help="how long results are kept")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; a user's mistake is one line on stderr and exit code 2."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    logging.set_verbosity(logging.ERROR)
    try:
        for library in LIBRARIES:
            try:
                importlib.import_module(library)
            except ImportError:
                raise UserError(
                    f"{library} is not installed: pip install 'noise2map_jax[serve]'"
                ) from None
        _serve(arguments)
    except UserError as error:
        print(f"error: {shown(str(error))}", file=sys.stderr)
        return 2
    return 0


def _serve(arguments: argparse.Namespace) -> None:
    import uvicorn  # of the extra serve, as is what the service imports

    from noise2map_jax.mapping.loading import load
    from noise2map_jax.mapping.prediction_options import PredictionOptions
    from noise2map_jax.serving.app import Service
    from noise2map_jax.serving.limits import Limits
    from noise2map_jax.serving.mapper import Mapper

    if not 0 < arguments.port < 2**16:
        raise UserError(f"port is {arguments.port}; expected 1 to {2**16 - 1}")
    limits = Limits(
        upload_bytes=int(arguments.max_upload_mb * 1e6),
        upload_seconds=arguments.max_upload_seconds,
        megapixels=arguments.max_megapixels,
        job_seconds=arguments.max_seconds,
        waiting=arguments.max_waiting,
        kept_seconds=arguments.keep_minutes * 60,
    )
    options = PredictionOptions(
        tile_size=arguments.tile_size, overlap=arguments.overlap, symmetries=arguments.tta
    )
    model = load(arguments.workdir, task=arguments.task)
    options.tiling(model.config)  # says what is wrong before anybody waits
    if not _is_loopback(arguments.host):
        print(
            f"warning: {arguments.host} is not this machine alone, and there is no login: put a"
            " server that asks for one before it",
            file=sys.stderr,
        )
    print(f"serving {arguments.workdir} at http://{arguments.host}:{arguments.port}", flush=True)
    service = Service(Mapper(model, options, limits))
    uvicorn.run(
        service.app,
        host=arguments.host,
        port=arguments.port,
        log_level="warning",
        timeout_keep_alive=5,
        h11_max_incomplete_event_size=64 * 1024,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    sys.exit(main())
