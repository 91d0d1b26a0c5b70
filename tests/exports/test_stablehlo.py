"""Exports as StableHLO, loaded by a fresh process that has only JAX and NumPy."""

import json
import subprocess
import sys

import exported_networks
import jax
import numpy as np
import programs
import pytest
from exported_networks import ABOUT, prediction, thin, tiles

from noise2map_jax.data.tile_position import position
from noise2map_jax.errors import UserError
from noise2map_jax.exports import loaded
from noise2map_jax.exports.folder import write_files
from noise2map_jax.exports.stablehlo import stablehlo_files
from noise2map_jax.steps.eval_step import predict_step

# What JAX itself imports where it is installed (etils) is left out of the list.
LOADS = """
import sys
import numpy as np
from noise2map_jax.exports import loaded

model = loaded.load(sys.argv[1])
given = np.load(sys.argv[2])
first, *others = [given[key] for key in model.image_keys]
whole = model.predict_tiles(first, *others)
one = model.predict_tiles(first[:1], *(other[:1] for other in others))
np.savez(sys.argv[3], whole=whole, one=one)
heavy = "absl chex clu data_prep flax grain ml_collections onnx optax orbax rasterio scipy.io"
print([name for name in heavy.split() if name in sys.modules])
print(sorted(name for name in sys.modules if name.startswith("noise2map_jax")))
"""


def about(own):
    return ABOUT | {
        "dtype": own.config.data.dtype,
        "classes": list(own.classes),
        "image_keys": list(own.image_keys),
        "tile_size": own.tile_size,
    }


def exported(own, folder):
    write_files(folder, stablehlo_files(own, about(own)))
    return loaded.load(folder)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """The prediction of changes at two timesteps, and its folder."""
    config = thin("cd", dtype="uint16", value_range=(0.0, 40000.0))
    config.noise.inference_timesteps = (500, 999)
    own, folder = prediction(config), tmp_path_factory.mktemp("pairs")
    exported(own, folder)
    return own, folder


def test_a_fresh_process_predicts_the_same_with_jax_and_numpy_alone(pairs, tmp_path):
    own, folder = pairs
    images = tiles(own, num=3)
    np.savez(tmp_path / "in.npz", pre=images[0], post=images[1])
    done = subprocess.run(
        [sys.executable, "-c", LOADS, folder, tmp_path / "in.npz", tmp_path / "out.npz"],
        cwd=programs.ROOT,
        env=programs.environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    heavy, ours = done.stdout.splitlines()
    assert heavy == "[]"
    errors, exports = "noise2map_jax.errors", "noise2map_jax.exports"
    assert ours == str(["noise2map_jax", errors, exports, f"{exports}.loaded"])
    found = np.load(tmp_path / "out.npz")
    wanted = exported_networks.expected(own, *images)
    assert wanted.std() > 0.01
    np.testing.assert_allclose(found["whole"], wanted, atol=1e-5)
    np.testing.assert_allclose(found["one"], wanted[:1], atol=1e-5)


def test_gaussian_noise_follows_the_place_of_a_tile(tmp_path):
    """As in maps: the noise of scene 0, of as many draws as the run averages."""
    config = thin()
    config.noise.mix, config.noise.inference_timesteps = "gaussian", (600,)
    config.eval.num_noise_draws = 2
    own = prediction(config)
    model = exported(own, tmp_path)
    assert model.needs_position
    assert [one["name"] for one in model.metadata["inputs"]] == ["image", "row", "column"]
    (image,) = tiles(own, num=1)
    image = np.repeat(image, 2, 0)
    found = model.predict_tiles(image, row=[-16, 40], column=[7, 7])
    places = [position(0, row, 7) for row in (-16, 40)]
    batch = {key: np.stack([place[key] for place in places]) for key in places[0]}
    step = jax.jit(predict_step, static_argnames="problem")
    wanted = step(
        own.params, {"image": image} | batch, own.process, own.draws, problem=own.problem
    ).probabilities
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 0.01
    with pytest.raises(UserError, match="row is missing; the network takes image, row, column"):
        model.predict_tiles(image)
    with pytest.raises(UserError, match="column is float64; expected whole numbers"):
        model.predict_tiles(image, row=[0, 1], column=[0.5, 1.0])


def test_what_is_loaded_says_what_it_is(pairs):
    model = loaded.load(pairs[1])
    assert (model.classes, model.image_keys) == (("no_change", "change"), ("pre", "post"))
    assert (model.tile_size, model.needs_position) == (16, False)
    shape = {"shape": [-1, 16, 16, 3], "dtype": "uint16"}
    assert model.metadata["inputs"] == [{"name": "pre"} | shape, {"name": "post"} | shape]
    assert model.metadata["platforms"] == ["cpu", "cuda", "tpu"]


def test_no_tiles_give_no_probabilities(pairs):
    nothing = np.zeros((0, 16, 16, 3), np.uint16)
    assert loaded.load(pairs[1]).predict_tiles(nothing, nothing).shape == (0, 16, 16, 2)


def test_other_images_than_the_network_takes_are_refused(pairs):
    model, (pre, post) = loaded.load(pairs[1]), tiles(pairs[0])
    for given, message in [
        ((pre,), "post is missing; the network takes pre, post"),
        ((pre[0], post), r"pre has shape \[16, 16, 3\]; expected \[N, 16, 16, 3\]"),
        ((pre, post[..., :2]), r"post has shape \[2, 16, 16, 2\]; expected \[N, 16, 16, 3\]"),
        ((pre, post[:1]), r"post has 1 tile\(s\), but the first input 2"),
        ((pre.astype(np.uint8), post), "pre is uint8; the network was trained on uint16"),
    ]:
        with pytest.raises(UserError, match=message):
            model.predict_tiles(*given)
    with pytest.raises(UserError, match="row is given, but the network takes pre, post"):
        model.predict_tiles(pre, post, row=[0, 0])


def test_damaged_exports_are_refused(pairs, tmp_path):
    def copy(name, change):
        for path in pairs[1].iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / name).write_bytes(change((tmp_path / name).read_bytes()))

    def other_format(text):
        return json.dumps(json.loads(text) | {"format": 99}).encode()

    with pytest.raises(UserError, match=r"is no export: it has no model\.json"):
        loaded.load(tmp_path)
    for name, change, message in [
        ("model.stablehlo", lambda data: data[:-9], "checksum differs; copy it again"),
        ("model.json", lambda data: data[:-9], "is not JSON"),
        ("model.json", lambda data: b"[]", "has format None, expected 1"),
        ("model.json", other_format, "has format 99, expected 1"),
    ]:
        copy(name, change)
        with pytest.raises(UserError, match=message):
            loaded.load(tmp_path)
