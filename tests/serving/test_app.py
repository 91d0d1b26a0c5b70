"""The service by its routes, in this process; tests/programs/test_serve.py starts the program."""

import contextlib
import io
import random
import time
import warnings

import damage
import numpy as np
import pytest
import rasterio
import thin_config
from finished_runs import finish
from PIL import Image
from rasterio.io import MemoryFile
from rasterio.shutil import copy
from rasterio.transform import from_origin

pytest.importorskip("starlette", reason="the extra serve is not installed")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the client's library, that another one follows it
    from starlette.testclient import TestClient

from noise2map_jax.mapping.loading import load
from noise2map_jax.mapping.prediction_options import PredictionOptions
from noise2map_jax.mapping.scene_map import MapFiles, map_scene
from noise2map_jax.serving import app as app_module
from noise2map_jax.serving.app import Service
from noise2map_jax.serving.limits import Limits
from noise2map_jax.serving.mapper import Mapper

OPTIONS = PredictionOptions(overlap=8)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Runs of random parameters, by task."""
    found = {}
    for task, classes in (("ss", ("background", "building")), ("cd", ("no_change", "change"))):
        config = thin_config.get_config()
        config.task, config.data.classes = task, classes
        workdir = tmp_path_factory.mktemp("runs") / task
        finish(workdir, config)
        found[task] = load(workdir)
    return found


@pytest.fixture
def client(models):
    with serving(models["ss"]) as client:
        yield client


def serving(model, **limits):
    return TestClient(Service(Mapper(model, OPTIONS, Limits(**limits))).app)


def tiff(height=50, width=70, seed=0, **options):
    pixels = np.random.default_rng(seed).integers(1, 256, (3, height, width)).astype(np.uint8)
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 3, "dtype": "uint8"}
    profile |= {"crs": "EPSG:32633", "transform": from_origin(5e5, 4e6, 0.5, 0.5)} | options
    with MemoryFile() as memory:
        with memory.open(**profile) as target:
            target.write(pixels)
        return memory.read()


@contextlib.contextmanager
def opened(response):
    with MemoryFile(response.content) as memory, memory.open() as found:
        yield found


def error(response, status):
    assert response.status_code == status, response.text
    (message,) = response.json().values()
    assert "\n" not in message
    assert "/tmp" not in message
    return message


def test_the_map_is_that_of_the_command_line(client, models, tmp_path):
    content = tiff()
    answer = client.post("/maps", files={"image": content}).json()
    assert answer["notes"] == []
    links = answer["results"]
    assert set(links) == {
        *("map.tif", "probability.tif", "polygons.geojson", "before.png", "map.png")
    }
    (tmp_path / "a.tif").write_bytes(content)
    expected = str(tmp_path / "map.tif")
    map_scene(models["ss"], [str(tmp_path / "a.tif")], MapFiles(expected), OPTIONS)
    with opened(client.get(links["map.tif"])) as found, rasterio.open(expected) as other:
        np.testing.assert_array_equal(found.read(), other.read())
        assert (found.transform, found.crs) == (other.transform, other.crs)
        mapped = found.read(1)
    overlay = np.asarray(Image.open(io.BytesIO(client.get(links["map.png"]).content)))
    np.testing.assert_array_equal(overlay[..., 3] > 0, mapped == 1)
    before = np.asarray(Image.open(io.BytesIO(client.get(links["before.png"]).content)))
    with MemoryFile(content) as memory, memory.open() as source:
        np.testing.assert_array_equal(before, np.moveaxis(source.read(), 0, -1))


def test_a_pair_and_one_file_alone(models):
    with serving(models["cd"]) as client:
        both = {"image": tiff(), "post": tiff(seed=1)}
        response = client.post("/maps", files=both, data={"output": "probability"})
        assert response.headers["content-type"].startswith("image/tiff")
        with opened(response) as found:
            assert found.descriptions == ("probability",)
        assert "2 image(s)" in error(client.post("/maps", files={"image": tiff()}), 422)


def test_options_of_a_request(client):
    response = client.post("/maps", files={"image": tiff()}, data={"threshold": "0.01"})
    with opened(client.get(response.json()["results"]["map.tif"])) as found:
        assert found.tags()["threshold"] == "0.01"
        assert (found.read() == 1).all()
    for data, words in (
        ({"threshold": "2"}, "threshold is 2.0"),
        ({"threshold": "best"}, "does not know its best threshold"),
        ({"threshold": "x"}, "threshold is 'x'"),
    ):
        assert words in error(client.post("/maps", files={"image": tiff()}, data=data), 422)
    for data, words in (
        ({"output": "x"}, "output is 'x'"),
        ({"size": "1"}, "unknown field 'size'"),
        ({"tta": "perhaps"}, "tta is 'perhaps'; expected 1 or 0"),
        ({"tta": ["1", "0"]}, "tta is given 2 times"),
    ):
        assert words in error(client.post("/maps", files={"image": tiff()}, data=data), 400)


def test_images_that_do_not_fit_are_named(client):
    for content, words in (
        (b"nonsense", "image 'image' cannot be read"),
        (tiff(count=3, dtype="uint8")[:200], "image 'image'"),
        (b"", "there is no file named image"),
    ):
        response = client.post("/maps", files={"image": ("../../etc/passwd", content)})
        assert words in response.json()["error"]
        assert response.status_code in (400, 422)
    assert "no file named image" in error(client.post("/maps", files={"post": tiff()}), 400)
    assert "multipart" in error(client.post("/maps", content=b"x"), 415)
    broken = {"content-type": "multipart/form-data"}
    assert "cannot be read" in error(client.post("/maps", content=b"x", headers=broken), 400)


def test_a_file_that_names_other_files_is_not_opened(client, tmp_path):
    (tmp_path / "secret.tif").write_bytes(tiff())
    with rasterio.open(tmp_path / "secret.tif") as secret:
        copy(secret, tmp_path / "a.vrt", driver="VRT")
    text = (tmp_path / "a.vrt").read_text().replace(">secret.tif<", f">{tmp_path}/secret.tif<")
    text = text.replace('relativeToVRT="1"', 'relativeToVRT="0"')
    (tmp_path / "b.vrt").write_text(text)
    with rasterio.open(tmp_path / "b.vrt") as readable:
        assert readable.read().any()
    message = error(client.post("/maps", files={"image": ("a.tif", text.encode())}), 422)
    assert "VRT, which names other files" in message
    for before in (b" ", b"\xef\xbb\xbf", b"<!-- -->"):  # GDAL looks for the name anywhere
        (tmp_path / "c.vrt").write_bytes(before + text.encode())
        with rasterio.open(tmp_path / "c.vrt") as readable:
            assert readable.read().any()
        hidden = {"image": before + text.encode()}
        assert "cannot identify image file" in error(client.post("/maps", files=hidden), 422)


def test_odd_forms_are_understood_or_refused(client):
    twice = [("image", tiff()), ("image", tiff(seed=1))]
    assert "image is given 2 times" in error(client.post("/maps", files=twice), 400)
    text = {"image": tiff(), "output": ("o.txt", b"map")}
    assert "output is a file" in error(client.post("/maps", files=text), 400)
    request = client.build_request("POST", "/maps", files={"image": tiff(20, 20)})
    kind = request.headers["content-type"].replace("multipart/form-data", "Multipart/Form-Data")
    headers = {"content-type": kind}
    assert client.post("/maps", content=request.read(), headers=headers).status_code == 200


def test_every_error_is_json(client):
    assert "GET /nothing: Not Found" in error(client.get("/nothing"), 404)
    response = client.put("/maps")
    assert "PUT /maps: Method Not Allowed" in error(response, 405)
    assert response.headers["allow"] == "POST"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_images_that_are_too_large_are_refused(models):
    with serving(models["ss"], upload_bytes=5000) as client:
        assert "larger than 0.005 MB" in error(client.post("/maps", files={"image": tiff()}), 413)

        def pieces():  # without a length
            yield b'--x\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n'
            for _ in range(100):
                yield bytes(100)

        headers = {"content-type": "multipart/form-data; boundary=x"}
        assert "larger than" in error(client.post("/maps", content=pieces(), headers=headers), 413)
    with serving(models["ss"], megapixels=1.0) as client:
        # Zeros of 3,000 x 3,000 pixels that take a few kilobytes.
        bomb = tiff(8, 8, compress="deflate", sparse_ok=True)
        large = tiff_of_zeros(3000)
        assert len(large) < 100_000
        message = error(client.post("/maps", files={"image": large}), 422)
        assert message == "the image has 9.0 megapixels; this service takes 1"
        assert client.post("/maps", files={"image": bomb}).status_code == 200


def tiff_of_zeros(side):
    profile = {"driver": "GTiff", "height": side, "width": side, "count": 3, "dtype": "uint8"}
    profile |= {"crs": "EPSG:32633", "transform": from_origin(5e5, 4e6, 0.5, 0.5)}
    with MemoryFile() as memory:
        with memory.open(**profile, compress="deflate", SPARSE_OK=True):
            pass
        return memory.read()


def test_a_map_that_takes_too_long_is_given_up(models, monkeypatch):
    with serving(models["ss"], job_seconds=1e-9) as client:
        assert "takes longer than" in error(client.post("/maps", files={"image": tiff()}), 504)
        assert client.get("/health").json()["waiting"] == 0


def test_a_full_queue_asks_to_come_back(models, monkeypatch):
    with serving(models["ss"]) as client:
        monkeypatch.setattr(
            app_module.JobQueue, "submit", lambda *_: (_ for _ in ()).throw(app_module.QueueFull)
        )
        response = client.post("/maps", files={"image": tiff()})
        assert "come back" in error(response, 503)
        assert response.headers["Retry-After"] == "2"


def test_nothing_but_results_is_served(client):
    name = client.post("/maps", files={"image": tiff()}).json()["results"]["map.tif"].split("/")[2]
    for path in (
        f"/results/{name}/image",
        f"/results/{name}/",
        f"/results/{name}/..%2f{name}%2fmap.tif",
        "/results/../map.tif",
        "/results/nothing/map.tif",
        "/static/app.py",
        "/static/..%2fapp.py",
        "/etc/passwd",
    ):
        assert client.get(path).status_code == 404, path


def test_results_go_after_a_while_and_the_oldest_first(models):
    with serving(models["ss"], kept=2) as client:
        links = [
            client.post("/maps", files={"image": tiff(20, 20)}).json()["results"]["map.tif"]
            for _ in range(3)
        ]
        assert [client.get(link).status_code for link in links] == [404, 200, 200]
    with serving(models["ss"], kept_seconds=0.05) as client:
        link = client.post("/maps", files={"image": tiff(20, 20)}).json()["results"]["map.tif"]
        time.sleep(0.1)
        assert client.get(link).status_code == 404


def test_health_metrics_and_headers(client):
    client.post("/maps", files={"image": tiff(20, 20)})
    client.post("/maps", files={"image": b"nonsense"})
    health = client.get("/health").json()
    assert health["ready"]
    assert health["classes"] == ["background", "building"]
    metrics = client.get("/metrics").text
    assert 'noise2map_requests_total{outcome="map"} 1.0' in metrics
    assert 'noise2map_requests_total{outcome="422"} 1.0' in metrics
    assert "noise2map_waiting 0.0" in metrics
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert 'name="image" required' in page.text
    assert "http" not in page.text.replace("http-equiv", "")


@pytest.mark.parametrize("number", [8, pytest.param(100, marks=pytest.mark.long)])
def test_the_service_survives_damaged_files(client, number):
    rng = random.Random(number)
    whole = tiff(40, 40, compress="deflate")
    for index in range(number):
        hurt = (damage.cut, damage.flip, damage.flip_head, damage.huge_tiff)[index % 4]
        response = client.post("/maps", files={"image": hurt(whole, rng, b"")})
        assert response.status_code in (200, 422), response.text
        if response.status_code == 422:
            error(response, 422)
    assert client.post("/maps", files={"image": whole}).status_code == 200
