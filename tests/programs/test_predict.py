"""From a run to a map, by the command line."""

import json
import subprocess
import sys
import time

import numpy as np
import programs
import pytest
import rasterio
import warm_start
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin

from data_prep.drawing.scenes import segmentation_scene

TRANSFORM = from_origin(500_000, 4_000_000, 0.5, 0.5)


def predict(cache, *arguments, expect=0):
    return programs.run(arguments, programs.environment(cache), expect, warm_start.PREDICT)


@pytest.fixture(scope="module")
def run(thin_data, cache, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "ss"
    options = ("--config=tests/helpers/thin_config.py", f"--workdir={workdir}")
    options += (f"--config.data.data_dir={thin_data}", "--config.train.num_steps=60")
    options += ("--config.train.eval_every_steps=30",)
    for mode in ("train", "eval"):
        programs.run((*options, f"--mode={mode}"), programs.environment(cache))
    return workdir


@pytest.fixture(scope="module")
def geotiff(tmp_path_factory):
    pixels, _ = segmentation_scene(np.random.default_rng(5), 100)
    pixels = pixels[:70]
    pixels[:10, :10] = 0
    path = tmp_path_factory.mktemp("images") / "scene.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=70,
        width=100,
        count=3,
        dtype="uint8",
        crs="EPSG:32616",
        transform=TRANSFORM,
        nodata=0,
    ) as image:
        image.write(np.moveaxis(pixels, -1, 0))
    return path


def test_the_map_lies_on_the_grid_of_the_image(run, geotiff, cache, tmp_path):
    output, probability = tmp_path / "map.tif", tmp_path / "probability.tif"
    done = predict(
        cache,
        f"--workdir={run}",
        f"--image={geotiff}",
        f"--output={output}",
        f"--probability={probability}",
        "--threshold=best",
    )
    best = json.loads((run / "report" / "threshold.json").read_text())
    assert best["f1"] >= best["f1_at_half"] > 0
    scores = json.loads((run / "report" / "scores_test.json").read_text())
    assert 0 < scores["f1_at_threshold_of_validation"] <= 1
    plain, calibrated = scores["calibration"]
    assert (plain["temperature"], calibrated["temperature"]) == (1.0, best["temperature"])
    assert sum(plain["reliability"]["pixels"]) == sum(calibrated["reliability"]["pixels"]) > 0
    with Image.open(run / "report" / "reliability_test.png") as diagram:
        assert diagram.width > 500
    assert "map: 7000/7000 pixels [" in done.stderr
    assert "\r" not in done.stderr
    with rasterio.open(output) as mapped, rasterio.open(probability) as probabilities:
        classes, p = mapped.read(1), probabilities.read(1)
        assert mapped.crs == "EPSG:32616"
        assert mapped.transform == TRANSFORM
        assert mapped.nodata == 255
        assert mapped.colormap(1)[1] == (255, 255, 255, 255)
        tags = mapped.tags()
        assert "1 = building" in tags["classes"]
        assert float(tags["threshold"]) == best["threshold"]
        assert float(tags["temperature"]) == pytest.approx(best["temperature"], rel=1e-4)
        assert tags["step"] == str(best["step"])
        assert float(tags["test_foreground_f1"]) > 0
    assert classes.shape == (70, 100)
    assert np.all(classes[:10, :10] == 255)
    known = classes != 255
    assert known.sum() > 70 * 100 - 200
    assert set(np.unique(classes[known])) == {0, 1}
    np.testing.assert_array_equal(classes[known] == 1, p[known] >= best["threshold"])
    assert np.all(np.isnan(p[~known]))
    assert not list(tmp_path.glob("*.part"))


FROM_PYTHON = """
import sys
import rioxarray
import noise2map_jax

run, image, folder = sys.argv[1:]
maps = noise2map_jax.load(run).predict(rioxarray.open_rasterio(image), threshold="best")
maps.classes.rio.to_raster(f"{folder}/classes.tif", recalc_transform=False)
maps.probabilities.rio.to_raster(f"{folder}/each.tif", recalc_transform=False)
"""


def test_python_gives_the_same_map(run, geotiff, cache, tmp_path):
    pytest.importorskip("rioxarray", reason="of the extra gis")
    arguments = (f"--output={tmp_path / 'm.tif'}", f"--probability={tmp_path / 'p.tif'}")
    options = ("--every_class", "--threshold=best")
    predict(cache, f"--workdir={run}", f"--image={geotiff}", *arguments, *options)
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FROM_PYTHON, run, geotiff, tmp_path],
        cwd=programs.ROOT,
        env=programs.environment(cache),
        check=True,
        timeout=300,
    )
    for one, other in (("m", "classes"), ("p", "each")):
        with (
            rasterio.open(tmp_path / f"{one}.tif") as expected,
            rasterio.open(tmp_path / f"{other}.tif") as found,
        ):
            np.testing.assert_array_equal(found.read(), expected.read())
            assert (found.crs, found.transform) == (expected.crs, expected.transform)
            np.testing.assert_equal(found.nodata, expected.nodata)
            assert found.tags()["run"] == expected.tags()["run"]


def test_a_png_is_mapped_without_a_grid(run, cache, tmp_path):
    pixels, _ = segmentation_scene(np.random.default_rng(6), 64)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    predict(
        cache, f"--workdir={run}", f"--image={tmp_path / 'a.png'}", f"--output={tmp_path / 'm.tif'}"
    )
    with pytest.warns(NotGeoreferencedWarning):
        mapped = rasterio.open(tmp_path / "m.tif")
    with mapped:
        assert (mapped.shape, mapped.crs) == ((64, 64), None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--image=none.tif", "--output=m.tif"], ["no image 'none.tif'"]),
        (
            ["--image=IMAGE", "--post=docs/images/preview.png", "--output=m.tif"],
            ["'ss' takes 1 image", "2 are given"],
        ),
        (["--image=IMAGE", "--output=IMAGE"], ["scene.tif' would overwrite"]),
        (["--image=IMAGE", "--output=no/m.tif"], ["no folder"]),
        (["--image=IMAGE", "--output=m.tif", "--batch_size=-1"], ["batch_size is -1"]),
        (["--workdir=nowhere", "--image=IMAGE", "--output=m.tif"], ["no run in 'nowhere'"]),
    ],
)
def test_mistakes_are_one_line(run, geotiff, cache, arguments, words):
    arguments = [argument.replace("IMAGE", str(geotiff)) for argument in arguments]
    if not arguments[0].startswith("--workdir"):
        arguments = [f"--workdir={run}", *arguments]
    done = predict(cache, *arguments, expect=2)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1
    assert all(word in lines[0] for word in words)


def test_a_folder_is_mapped_in_parts_with_polygons(run, geotiff, cache, tmp_path):
    pyogrio = pytest.importorskip("pyogrio", reason="the extra gis is not installed")
    arguments = (
        f"--workdir={run}",
        f"--image={geotiff.parent}",
        f"--output={tmp_path / 'maps'}",
        f"--polygons={tmp_path / 'polygons'}/*.geojson",
        "--overlap=8",
    )
    first = predict(cache, *arguments, "--part=1/2")
    assert "part 1/2 of" in first.stdout
    assert not list(tmp_path.rglob("*.geojson"))
    last = predict(cache, *arguments, "--part=2/2")
    assert f"map: {tmp_path / 'maps' / 'scene.tif'}" in last.stdout
    found = pyogrio.raw.read(tmp_path / "polygons" / "scene.geojson")
    names, fields = found[0]["fields"].tolist(), found[3]
    assert len(fields[0]) > 0
    assert (fields[names.index("area_m2")] >= 0.249).all()  # a pixel, to the scale of UTM
    chances = fields[names.index("mean_probability")]
    assert ((chances > 0.5) & (chances <= 1)).all()
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["scene.tif"]


def test_a_map_that_is_killed_or_has_no_space_has_not_the_name_of_the_output(run, cache, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    arguments = [f"--workdir={run}", f"--image={tmp_path / 'a.png'}"]
    output = tmp_path / "map.tif"
    env = programs.environment(cache)
    process = programs.start([*arguments, f"--output={output}"], env, warm_start.PREDICT)
    for _ in range(6000):
        if list(tmp_path.glob("map.tif.*")):
            break
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert [path.name for path in tmp_path.glob("map.tif*")] == ["map.tif.rows.part"]

    # Limited by a shell: Python would fork this process, in which JAX may have threads.
    limited = ("bash", "-c", 'ulimit -f 60; exec "$@"', "bash")  # KiB
    done = subprocess.run(
        [
            *limited,
            *(sys.executable, "-m", "noise2map_jax.predict", *arguments),
            f"--output={tmp_path / 'b.tif'}",
            f"--probability={tmp_path / 'p.tif'}",
        ],
        cwd=programs.ROOT,
        env=env,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 2
    assert "p.tif': " in done.stderr.splitlines()[-1]
    assert "See previous" not in done.stderr
    assert not [*tmp_path.glob("b.tif*"), *tmp_path.glob("p.tif*")]
