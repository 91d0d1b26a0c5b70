"""Receives images over HTTP: bounded in size and time, on the disk, under names of our own."""

import asyncio
import dataclasses
import pathlib
import shutil
from collections.abc import AsyncGenerator

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from data_prep.imagery.files import names_other_files
from noise2map_jax.errors import UserError
from noise2map_jax.serving.limits import Limits

FIELDS = ("image", "post", "threshold", "tta", "output")
OUTPUTS = {
    "all": "",
    "map": "map.tif",
    "probability": "probability.tif",
    "polygons": "polygons.geojson",
}

SWITCH = {"": None} | dict.fromkeys(("1", "true", "on", "yes"), True)
SWITCH |= dict.fromkeys(("0", "false", "off", "no"), False)


class Refused(Exception):
    """A request that is not served.

    Attributes:
        status: its HTTP status.
    """

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


@dataclasses.dataclass(frozen=True)
class Upload:
    """What a request asks for.

    Attributes:
        images: the image, or the images before and after, as files.
        threshold: as of `PredictionOptions`; None: the service's.
        tta: whether to average over symmetries; None: as the service does.
        output: a key of `OUTPUTS`.
    """

    images: list[str]
    threshold: float | str | None
    tta: bool | None
    output: str


async def receive(request: Request, folder: pathlib.Path, limits: Limits) -> Upload:
    """Receive the form of a request.

    Args:
        request: a POST of multipart/form-data with the files `image` and, for a pair, `post`.
        folder: where to put the files.
        limits: what is taken.

    Raises:
        Refused: it is too large, too slow or no such form; its status says which.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Refused(415, "expected multipart/form-data with a file named image")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limits.upload_bytes:
        raise _too_large(limits)
    parser = MultiPartParser(
        request.headers, _counted(request, limits), max_files=2, max_fields=8, max_part_size=1000
    )
    try:
        form = await asyncio.wait_for(parser.parse(), limits.upload_seconds)
    except TimeoutError:
        raise Refused(408, f"the upload took longer than {limits.upload_seconds:g} s") from None
    except MultiPartException as error:
        raise Refused(400, f"the form cannot be read: {error.message}") from None
    except ClientDisconnect:
        raise Refused(499, "the client went away") from None
    except (KeyError, ValueError, UnicodeDecodeError) as error:  # a boundary that is missing or odd
        raise Refused(400, f"the form cannot be read ({type(error).__name__})") from None
    async with _closing(form):
        return await _upload(form, folder)


async def _upload(form: FormData, folder: pathlib.Path) -> Upload:
    if unknown := sorted(set(form) - set(FIELDS)):
        raise Refused(400, f"unknown field {unknown[0]!r}; expected {', '.join(FIELDS)}")
    if twice := sorted(name for name in set(form) if len(form.getlist(name)) > 1):
        raise Refused(400, f"{twice[0]} is given {len(form.getlist(twice[0]))} times; give it once")
    images = []
    for name in ("image", "post"):
        file = form.get(name)
        if file is None or (isinstance(file, UploadFile) and not file.size):
            continue
        if not isinstance(file, UploadFile):
            raise Refused(400, f"{name} is a text; expected a file")
        path = folder / name  # never the name that the client gives
        await asyncio.to_thread(_copy, file, path)
        if names_other_files(path):
            raise Refused(
                422, f"{name} is a VRT, which names other files; upload the image itself as GeoTIFF"
            )
        images.append(str(path))
    if not images or not images[0].endswith("image"):
        raise Refused(400, "there is no file named image")
    output = _text(form, "output", "all")
    if output not in OUTPUTS:
        raise Refused(400, f"output is {output[:40]!r}; expected one of {', '.join(OUTPUTS)}")
    return Upload(images, _threshold(_text(form, "threshold")), _tta(_text(form, "tta")), output)


def _text(form: FormData, name: str, default: str = "") -> str:
    value = form.get(name, default)
    if not isinstance(value, str):
        raise Refused(400, f"{name} is a file; expected a text")
    return value


def _tta(text: str) -> bool | None:
    if text.lower() not in SWITCH:
        raise Refused(400, f"tta is {text[:40]!r}; expected 1 or 0")
    return SWITCH[text.lower()]


def _threshold(text: str) -> float | str | None:
    if text in ("", "best"):
        return text or None
    try:
        return float(text)
    except ValueError:
        raise UserError(f"threshold is {text[:40]!r}; expected a number or best") from None


def _copy(file: UploadFile, path: pathlib.Path) -> None:
    with path.open("wb") as target:
        shutil.copyfileobj(file.file, target)


async def _counted(request: Request, limits: Limits) -> AsyncGenerator[bytes, None]:
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > limits.upload_bytes:
            raise _too_large(limits)
        yield chunk


def _too_large(limits: Limits) -> Refused:
    return Refused(413, f"the upload is larger than {limits.upload_bytes / 1e6:g} MB")


class _closing:
    """Closes the files of a form."""

    def __init__(self, form: FormData):
        self._form = form

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        await self._form.close()
