"""The routes of the service."""

import asyncio
import contextlib
import importlib.resources
import pathlib
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import jinja2
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from noise2map_jax.errors import UserError
from noise2map_jax.serving import pictures
from noise2map_jax.serving.jobs import Job, JobQueue, QueueFull, Stopped
from noise2map_jax.serving.mapper import Mapper
from noise2map_jax.serving.results import FILES, Results
from noise2map_jax.serving.upload import OUTPUTS, Refused, receive

RETRY_AFTER = 2  # seconds
_POLL = 0.2  # seconds between looks whether the client is still there
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self';"
    " script-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_STATIC = {"page.css": "text/css", "page.js": "text/javascript"}


class Service:
    """A trained network behind HTTP.

    Attributes:
        app: the ASGI application.
    """

    def __init__(self, mapper: Mapper):
        self._mapper, self._limits = mapper, mapper.limits
        self._queue = JobQueue(self._limits.waiting, self._limits.job_seconds)
        self._ready = False
        self._results: Results | None = None
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "noise2map_requests", "Requests for a map, by outcome", ["outcome"], registry=registry
        )
        self._seconds = Histogram(
            "noise2map_map_seconds", "Seconds from turn to map", registry=registry
        )
        waiting = Gauge("noise2map_waiting", "Maps that wait for their turn", registry=registry)
        waiting.set_function(lambda: self._queue.waiting)
        self.app = Starlette(
            routes=[
                Route("/", self._page),
                Route("/maps", self._maps, methods=["POST"]),
                Route("/results/{name}/{file}", self._result),
                Route("/static/{file}", _static),
                Route("/health", self._health),
                Route("/metrics", self._metrics),
            ],
            middleware=[Middleware(_SecurityHeaders)],
            exception_handlers={HTTPException: _no_route},
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        with tempfile.TemporaryDirectory(prefix="noise2map-") as folder:
            self._results = Results(
                pathlib.Path(folder), self._limits.kept, self._limits.kept_seconds
            )
            self._ready = True
            yield
            self._ready = False
            await asyncio.to_thread(self._queue.close)

    async def _page(self, request: Request) -> Response:
        model = self._mapper.model
        return HTMLResponse(
            _template().render(
                source=pathlib.PurePath(model.source).name,
                images=model.image_keys,
                legend=pictures.legend(model.classes),
                megapixels=f"{self._limits.megapixels:g}",
                megabytes=f"{self._limits.upload_bytes / 1e6:g}",
                minutes=f"{self._limits.kept_seconds / 60:g}",
            )
        )

    async def _maps(self, request: Request) -> Response:
        assert self._results is not None  # the application has begun
        name, folder = self._results.create()
        try:
            response = await self._mapped(request, name, folder)
            self._requests.labels("map").inc()
            return response
        except Refused as refused:
            return self._error(name, refused.status, str(refused))
        except QueueFull:
            busy = self._error(name, 503, "too many maps wait; come back in a moment")
            busy.headers["Retry-After"] = str(RETRY_AFTER)
            return busy
        except Stopped as stopped:
            gone = await request.is_disconnected()
            return self._error(name, 499 if gone else 504, str(stopped))
        except UserError as error:  # paths of this machine are nobody's business
            source = self._mapper.model.source
            message = str(error).replace(f"{folder}/", "")
            return self._error(name, 422, message.replace(source, pathlib.PurePath(source).name))
        except BaseException:
            self._error(name, 500, "")
            raise

    async def _mapped(self, request: Request, name: str, folder: pathlib.Path) -> Response:
        assert self._results is not None
        upload = await receive(request, folder, self._limits)
        self._mapper.check(upload)

        def work(job: Job) -> list[str]:
            with self._seconds.time():
                return self._mapper(upload, folder, job)

        job = self._queue.submit(work)
        waiting = asyncio.wrap_future(job.result)
        try:
            while not (await asyncio.wait({waiting}, timeout=_POLL))[0]:
                if await request.is_disconnected():
                    self._queue.give_up(job)
        except asyncio.CancelledError:
            self._queue.give_up(job)
            raise
        notes = waiting.result()
        self._results.keep(name)
        if file := OUTPUTS[upload.output]:
            path = self._results.path(name, file)
            if path is None:
                raise UserError("; ".join(notes))
            return FileResponse(path, media_type=FILES[file], filename=file)
        found = [file for file in FILES if (folder / file).is_file()]
        links = {file: f"/results/{name}/{file}" for file in found}
        return JSONResponse({"results": links, "notes": notes})

    def _error(self, name: str, status: int, message: str) -> Response:
        assert self._results is not None
        self._results.drop(name)
        self._requests.labels(str(status)).inc()
        return JSONResponse({"error": message}, status)

    async def _result(self, request: Request) -> Response:
        assert self._results is not None
        file = request.path_params["file"]
        path = self._results.path(request.path_params["name"], file)
        if path is None:
            return JSONResponse({"error": "there is no such result, or its time is over"}, 404)
        return FileResponse(path, media_type=FILES[file], filename=file)

    async def _health(self, request: Request) -> Response:
        model = self._mapper.model
        state = {
            "ready": self._ready,
            "run": pathlib.PurePath(model.source).name,
            "task": model.config.task,
            "images": list(model.image_keys),
            "classes": list(model.classes),
            "waiting": self._queue.waiting,
        }
        return JSONResponse(state, 200 if self._ready else 503)

    async def _metrics(self, request: Request) -> Response:
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


class _SecurityHeaders:
    """Adds headers to every response; what comes from the client passes as it is.

    Starlette's base class of middleware stands between a request and its client, so that the
    request does not learn that the client has gone.
    """

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}"
    return JSONResponse({"error": message}, error.status_code, error.headers)


async def _static(request: Request) -> Response:
    file: Any = request.path_params["file"]
    if file not in _STATIC:
        return JSONResponse({"error": "not found"}, 404)
    content = importlib.resources.files("noise2map_jax.serving") / "static" / file
    return Response(content.read_bytes(), media_type=_STATIC[file])


def _template() -> jinja2.Template:
    content = importlib.resources.files("noise2map_jax.serving") / "static" / "page.html"
    return jinja2.Environment(autoescape=True).from_string(content.read_text("utf-8"))
