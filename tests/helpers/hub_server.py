"""A small local hub, `hub_server.serve(files, commit)`, that answers like the real one."""

import contextlib
import hashlib
import http.server
import json
import threading
from urllib.parse import unquote, urlsplit

REPO = "owner/repo"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        files, commit = self.server.files, self.server.commit
        path = unquote(urlsplit(self.path).path).strip("/")
        self.server.asked.append(path)
        if path.startswith(f"api/models/{REPO}/tree/"):
            entries = [
                {"type": "file", "path": name, "size": len(data), "oid": _sha(data)}
                for name, data in files.items()
            ]
            return self.answer(json.dumps(entries).encode())
        if path in (f"api/models/{REPO}", f"api/models/{REPO}/revision/main"):
            siblings = [{"rfilename": name} for name in files]
            info = {"id": REPO, "sha": commit, "siblings": siblings, "private": False}
            return self.answer(json.dumps(info | {"downloads": 0, "tags": []}).encode())
        if path.startswith(f"api/models/{REPO}/revision/"):
            return self.answer(b"", 404, {"X-Error-Code": "RevisionNotFound"})
        name = path.removeprefix(f"{REPO}/resolve/{commit}/")
        if name in files:
            data = files[name]
            return self.answer(data, 200, {"ETag": f'"{_sha(data)}"', "X-Repo-Commit": commit})
        return self.answer(b"", 404, {"X-Error-Code": "RepoNotFound"})

    def answer(self, data, status=200, headers=None):
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(data))} | (headers or {})).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


def _sha(data):
    return hashlib.sha1(data).hexdigest()


@contextlib.contextmanager
def serve(files, commit):
    """Serve files of `owner/repo`; yield the server's address and the list of requests."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.commit, server.asked = files, commit, []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server.asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
