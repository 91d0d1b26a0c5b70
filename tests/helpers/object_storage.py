"""Object storage on this machine: emulators of S3 and of Google's storage, over loopback."""

import contextlib
import http.client
import http.server
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

# gcsfs would ask what kind of bucket it is by another protocol, which emulators do not speak.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
S3 = ("moto.server", "s3fs")
GS = ("gcp_storage_emulator", "gcsfs")
_GS_PROGRAM = (
    "import sys\n"
    "from gcp_storage_emulator.server import create_server\n"
    "create_server('127.0.0.1', int(sys.argv[1]), in_memory=True).run()\n"
)


class ObjectStorage:
    """An emulator in a process of its own, with one bucket, `bucket`.

    Attributes:
        scheme: `s3` or `gs`.
        variables: the environment with which programs find it.
        files: fsspec's file system for it, to look what is there.
    """

    def __init__(self, scheme):
        for module in S3 if scheme == "s3" else GS:
            pytest.importorskip(
                module, reason="extra cloud, and an emulator of it", exc_type=ImportError
            )
        self.scheme, self.port = scheme, free_port()
        self.variables = variables(scheme, self.port)
        self._process = None
        self.start()
        self.files = open_files(scheme, self.port)
        self.files.mkdir("bucket")

    def start(self):
        program = ("-m", "moto.server", "-H", "127.0.0.1", "-p")
        if self.scheme == "gs":
            program = ("-c", _GS_PROGRAM)
        command = [sys.executable, "-W", "ignore", *program, str(self.port)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                assert time.monotonic() < deadline, "the emulator does not start"
                time.sleep(0.05)

    def stop(self):
        self._process.kill()
        self._process.wait()

    def names(self, folder):
        """Names of the objects below a folder of the bucket."""
        path = f"bucket/{folder}"
        return {name.removeprefix(f"{path}/") for name in self.files.find(path)}

    def upload(self, here, folder):
        """Copy a local folder into the bucket."""
        for path in sorted(here.rglob("*")):
            if path.is_file():
                self.files.put_file(
                    str(path), f"bucket/{folder}/{path.relative_to(here).as_posix()}"
                )


def open_files(scheme, port):
    import fsspec

    url = f"http://127.0.0.1:{port}"
    if scheme == "gs":
        import logging

        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
        options = {"endpoint_url": url, "token": "anon"}
    else:
        options = {"endpoint_url": url, "key": "of-a-test", "secret": "of-a-test"}
    return fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True, **options)


def variables(scheme, port):
    """Return the environment with which programs find a server."""
    url = f"http://127.0.0.1:{port}"
    if scheme == "gs":
        return {"STORAGE_EMULATOR_HOST": url}
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "of-a-test",
        "AWS_SECRET_ACCESS_KEY": "of-a-test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Refusing:
    """A server that lets nobody in, or a door to another one that can be shut.

    Attributes:
        port: where it listens.
        shut: whether it answers everything by 403, or 400 for what is malformed.
    """

    def __init__(self, code="AccessDenied", message="Access Denied", status=403, door_to=None):
        self.shut = door_to is None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # clients ask before they send an object

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if outer.shut:
                    text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
                    self._answer(status, {}, text.encode())
                    return
                with contextlib.closing(http.client.HTTPConnection("127.0.0.1", door_to)) as own:
                    own.request(self.command, self.path, body, self._headers())
                    answer = own.getresponse()
                    self._answer(answer.status, dict(answer.headers), answer.read())

            do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

            def _headers(self):
                return {k: v for k, v in self.headers.items() if k.lower() != "expect"}

            def _answer(self, status, headers, text):
                self.send_response_only(status)
                length = {} if "Content-Length" in headers else {"Content-Length": len(text)}
                for name, value in (headers | length).items():
                    if name != "Transfer-Encoding":
                        self.send_header(name, str(value))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(text)

            def log_message(self, *unused):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


def use(monkeypatch, variables):
    """Let this process find a server."""
    from noise2map_jax.buckets import store

    for name in [n for n in os.environ if n.startswith(("AWS_", "STORAGE_"))]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # Both remember the servers of earlier tests.
    store._open.cache_clear()
    for library in ("s3fs.S3FileSystem", "gcsfs.GCSFileSystem"):
        module, _, name = library.partition(".")
        if module in sys.modules:
            getattr(sys.modules[module], name).clear_instance_cache()
