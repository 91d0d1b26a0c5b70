"""Folders of weights on the Hugging Face hub, by name: `hf:OWNER/REPO[/SUBFOLDER][@REVISION]`.

A folder is downloaded once into the cache of huggingface_hub, and then needs no network.
"""

import dataclasses
import pathlib
import re
from typing import Any

from noise2map_jax.errors import UserError
from noise2map_jax.weights.diffusers import INDEX_FILE, WEIGHTS_FILE
from noise2map_jax.weights.safetensors_file import MODEL_FILE

PREFIX = "hf:"
NAME = re.compile(r"hf:([\w.-]+/[\w.-]+)((?:/[\w.-]+)*)(?:@([\w.-]+(?:/[\w.-]+)*))?", re.ASCII)
FORM = "hf:OWNER/REPO, hf:OWNER/REPO/SUBFOLDER or either with @REVISION"
# The files to download; weights of other formats and pictures are left out.
FILES = (
    *("config.json", WEIGHTS_FILE, INDEX_FILE, "diffusion_pytorch_model-*-of-*.safetensors"),
    *("noise2map.json", "noise2map_*.safetensors", MODEL_FILE),
)
# Each folder of weights has one of these.
MARKS = ("config.json", MODEL_FILE)
TIMEOUT = 10.0  # seconds without an answer after which the hub counts as unreachable


@dataclasses.dataclass(frozen=True)
class HubName:
    """A folder on the hub; `subfolder` and `revision` may be empty."""

    repo: str
    subfolder: str
    revision: str

    def path_of(self, file: str) -> str:
        """Return the path of a file of this folder in its repository."""
        return f"{self.subfolder}/{file}" if self.subfolder else file


def parse_name(name: str) -> HubName:
    """Split a name into its parts, or raise a `UserError` with the expected form."""
    match = NAME.fullmatch(name)
    parts = re.split("[:/@]", name)
    if match is None or ".." in parts or "." in parts:
        raise UserError(f"{name!r} is not the name of a folder on the hub; expected {FORM}")
    return HubName(match[1], match[2].strip("/"), match[3] or "")


def fetch(name: str) -> pathlib.Path:
    """Find a folder of weights in the cache, or download it there.

    Args:
        name: `hf:OWNER/REPO[/SUBFOLDER][@REVISION]`, such as `hf:ali97/noise2map/aid-10k`.

    Returns:
        The local folder, with `config.json` or `model.safetensors`. It belongs to the cache: do
        not write to it.

    Raises:
        UserError: the name has another form, huggingface_hub is not installed, there is no such
            folder, or there is no network and the folder is not in the cache.
    """
    place = parse_name(name)
    try:
        import huggingface_hub.errors  # heavy, and only needed here
    except ImportError as error:
        raise UserError(
            f"{name} needs huggingface_hub, which is not installed: pip install "
            "'noise2map_jax[hub]', or give a local folder"
        ) from error
    # Ask first, with a time limit: snapshot_download would wait and retry for minutes.
    unreachable = _ask(huggingface_hub, place, name)
    try:
        snapshot = huggingface_hub.snapshot_download(
            place.repo,
            revision=place.revision or None,
            allow_patterns=[place.path_of(file) for file in FILES],
            etag_timeout=TIMEOUT,
            local_files_only=bool(unreachable),
        )
    # The client passes on errors of its transport, whose types have changed between versions.
    except Exception as error:
        if unreachable:
            raise _unreachable(name, unreachable) from error
        raise UserError(
            f"{name}: the download failed ({_words(error)}); try again, or give a local folder"
        ) from error
    folder = pathlib.Path(snapshot, place.subfolder)
    if not any((folder / mark).is_file() for mark in MARKS):
        if unreachable:
            raise _unreachable(name, unreachable)
        raise _not_there(name, place)
    return folder


def _ask(huggingface_hub: Any, place: HubName, name: str) -> str:
    """Ask the hub whether it has the folder.

    Returns:
        "" if the hub has the folder; if the hub is unreachable, the reason.

    Raises:
        UserError: the hub does not have the folder.
    """
    errors = huggingface_hub.errors
    try:
        info = huggingface_hub.HfApi().model_info(
            place.repo, revision=place.revision or None, timeout=TIMEOUT
        )
    except errors.RevisionNotFoundError as error:
        raise UserError(
            f"{name}: {place.repo} on the hub has no revision {place.revision!r}; "
            "leave out @REVISION for the newest"
        ) from error
    except errors.RepositoryNotFoundError as error:  # also for private and gated repositories
        raise UserError(
            f"{name}: the hub has no repository {place.repo} that is open to you; check the name, "
            "log in with `hf auth login`, or give a local folder"
        ) from error
    except errors.HFValidationError as error:
        raise UserError(f"{name}: {_words(error)}; expected {FORM}") from error
    except Exception as error:  # an error of the transport, see `fetch`
        return _words(error)
    files = [file.rfilename for file in info.siblings or ()]
    if not any(place.path_of(mark) in files for mark in MARKS):
        paths = map(pathlib.PurePosixPath, files)
        known = [str(p.parent).removeprefix(".") for p in paths if p.name in MARKS]
        raise _not_there(name, place, known)
    return ""


def _not_there(name: str, place: HubName, known: list[str] | None = None) -> UserError:
    where = ", ".join(sub or "its top" for sub in dict.fromkeys(known or ()))
    has = f"; there are such folders at: {where}" if where else ""
    marks = " or ".join(map(place.path_of, MARKS))
    return UserError(f"{name}: {place.repo} on the hub has no {marks}{has}")


def _unreachable(name: str, why: str) -> UserError:
    return UserError(
        f"{name} is not in the cache, and the hub cannot be reached ({why}); run once with a "
        "network, or download the folder elsewhere and give its local path"
    )


def _words(error: Exception) -> str:
    """Return the type of an error and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
