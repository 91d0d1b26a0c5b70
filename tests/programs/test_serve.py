"""The service as a program: many clients at once, the end, and the page in a browser."""

import concurrent.futures
import contextlib
import functools
import re
import shutil
import signal
import socket
import time

import numpy as np
import programs
import pytest
import thin_config
import warm_start
from finished_runs import finish
from PIL import Image

httpx = pytest.importorskip("httpx", reason="the extra serve is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")

NO_IMAGE = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"nonsense"}
# Certificates, which are of no use here, take a client longer to read than the server to map.
get, post = (functools.partial(call, verify=False) for call in (httpx.get, httpx.post))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "mine"
    finish(workdir, thin_config.get_config())
    return workdir


@contextlib.contextmanager
def serving(run, cache, *options):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = (f"--workdir={run}", f"--port={port}", *options)
    process = programs.start(arguments, programs.environment(cache), warm_start.SERVE)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(3000):
            with contextlib.suppress(httpx.TransportError):
                if get(f"{address}/health").status_code == 200:
                    break
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.1)
        yield address, process
    finally:
        process.kill()
        process.communicate()


def picture(path, side=64):
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_of_64_clients_at_once_none_is_lost(run, cache, tmp_path):
    content = picture(tmp_path / "a.png").read_bytes()

    def ask(address):
        for busy in range(300):
            response = post(f"{address}/maps", files={"image": content}, timeout=120)
            if response.status_code != 503:
                return busy, response
            assert int(response.headers["Retry-After"]) > 0
            time.sleep(0.2)
        raise AssertionError("never served")

    with serving(run, cache, "--max_waiting=4", "--overlap=0") as (address, process):
        with concurrent.futures.ThreadPoolExecutor(64) as clients:
            answers = list(clients.map(ask, [address] * 64))
        assert {response.status_code for _, response in answers} == {200}
        assert sum(busy for busy, _ in answers) > 0
        metrics = get(f"{address}/metrics").text
        assert 'noise2map_requests_total{outcome="map"} 64.0' in metrics
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)


def test_clients_that_go_away_are_not_waited_for(run, cache, tmp_path):
    content = picture(tmp_path / "large.png", side=1200).read_bytes()
    head = b'--x\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n'
    body = head + content + b"\r\n--x--\r\n"
    with serving(run, cache, "--max_waiting=2", "--tta", "--tile_size=8") as (address, _):
        port = int(address.rsplit(":", 1)[1])
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
                request = "POST /maps HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data;"
                request += f" boundary=x\r\nContent-Length: {len(body)}\r\n\r\n"
                client.sendall(request.encode() + body)
                client.settimeout(2)
                with contextlib.suppress(TimeoutError):
                    assert not client.recv(1), "the map was made at once"
        for _ in range(300):
            metrics = get(f"{address}/metrics").text
            if 'noise2map_requests_total{outcome="499"} 3.0' in metrics:
                break
            time.sleep(0.1)
        assert 'outcome="499"} 3.0' in metrics
        assert 'outcome="map"' not in metrics
        assert "noise2map_waiting 0.0" in metrics


def test_a_slow_upload_is_ended_and_mistakes_are_one_line(run, cache):
    with serving(run, cache, "--max_upload_seconds=1") as (address, _):
        port = int(address.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=60) as slow:
            head = "POST /maps HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n"
            head += "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
            slow.sendall(head.encode())
            answer = slow.recv(4096).decode()
        assert answer.startswith("HTTP/1.1 408")
        assert get(f"{address}/health").json()["ready"]
    for options, words in (
        (["--workdir=nowhere"], "no run in 'nowhere'"),
        ([f"--workdir={run}", "--max_waiting=0"], "waiting is 0; expected more than 0"),
        ([f"--workdir={run}", "--port=1000000"], "port is 1000000"),
    ):
        done = programs.run(options, programs.environment(cache), 2, warm_start.SERVE)
        (line,) = done.stderr.strip().splitlines()
        assert words in line


def test_the_page_maps_swipes_and_downloads(run, cache, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with serving(run, cache) as (address, _), sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        problems = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address)
        page.set_input_files("input[name=image]", picture(tmp_path / "a.png"))
        page.keyboard.press("Tab")
        page.get_by_role("button", name="Map").press("Enter")
        page.get_by_text("Done.").wait_for(timeout=60_000)
        swipe = page.get_by_role("slider")
        assert page.evaluate("document.activeElement.id") == "swipe"
        before = page.evaluate("getComputedStyle(document.getElementById('over')).clipPath")
        for _ in range(10):
            swipe.press("ArrowRight")
        after = page.evaluate("getComputedStyle(document.getElementById('over')).clipPath")
        assert (before, after) == ("inset(0px 0px 0px 50%)", "inset(0px 0px 0px 60%)")
        with page.expect_download() as download:
            page.get_by_role("link", name="Map (GeoTIFF)").press("Enter")
        assert re.fullmatch(r"map\.tif", download.value.suggested_filename)
        page.set_input_files("input[name=image]", NO_IMAGE)
        page.get_by_role("button", name="Map").click()
        page.get_by_text("cannot be read").wait_for(timeout=60_000)
        assert [p for p in problems if "422" not in p] == []
        browser.close()
