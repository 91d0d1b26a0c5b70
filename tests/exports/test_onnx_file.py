"""What readers of ONNX files find: Deepness, GeoDeep, geoai, catalogues of STAC items."""

import datetime
import hashlib
import json
import re

import exported_networks
import numpy as np
import onnx
import onnxruntime
import pytest
import rasterio
from exported_networks import ABOUT, prediction, stacked, thin, tiles

from noise2map_jax.exports.onnx_file import ITEM, MODEL, SIDECAR, onnx_files

TIME = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
STAC_NAME = r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]"
# The required fields of version 1.5.2 of the extension, and those it allows on assets alone.
REQUIRED = {"mlm:name", "mlm:architecture", "mlm:tasks", "mlm:input", "mlm:output"}
OF_ASSETS = {"mlm:artifact_type", "mlm:compile_method", "mlm:entrypoint"}
OF_ITEMS = {"mlm:name", "mlm:input", "mlm:output", "mlm:hyperparameters"}


def entries(files):
    """Return the entries of the ONNX file as Deepness reads them."""
    found = onnxruntime.InferenceSession(files[MODEL]).get_modelmeta().custom_metadata_map
    return {key: json.loads(value) for key, value in found.items()}


@pytest.fixture(scope="module")
def own():
    return prediction(thin())


@pytest.fixture(scope="module")
def files(own):
    return onnx_files(own, ABOUT, time=TIME)


@pytest.fixture(scope="module")
def pair_files():
    config = thin("cd", classes=("no change", "new", "gone"), num_bands=2)
    config.init_from = "runs/pretrained/"
    about = ABOUT | {"task": "cd", "resolution_cm": None}
    return onnx_files(prediction(config), about, "stored", TIME)


def test_old_programs_can_read_the_file(files):
    """onnxruntime 1.17, which Deepness uses, reads nothing newer."""
    model = onnx.load_from_string(files[MODEL])
    assert model.ir_version == 9
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 18)]
    onnx.checker.check_model(model, full_check=True)
    (source,), (result,) = model.graph.input, model.graph.output
    for one, channels in ((source, 3), (result, 2)):
        batch, *sizes = one.type.tensor_type.shape.dim
        assert batch.dim_param
        assert [size.dim_value for size in sizes] == [channels, 16, 16]


def test_deepness_finds_its_entries(files):
    found = entries(files)
    assert found.pop("noise2map") == ABOUT
    assert found == {
        "model_type": "Segmentor",
        "class_names": {"0": "background", "1": "building"},
        "resolution": 30.0,
        "tile_size": 16,
        "tiles_size": 16,
        "tiles_overlap": 25,
        "standardization_mean": [0, 0, 0],
        "standardization_std": [1, 1, 1],
        "seg_thresh": 0.5,
        "seg_small_segment": 0,
    }


def test_of_several_classes_the_most_probable_one_counts(pair_files):
    found = entries(pair_files)
    assert found["seg_thresh"] == 0
    assert found["class_names"] == {"0": "no change", "1": "new", "2": "gone"}
    assert "resolution" not in found


@pytest.mark.parametrize("pixels", ["scaled", "stored"])
def test_deepness_feeds_what_the_file_takes(own, pixels):
    """It computes (pixel / 255 - mean) / std, each by band."""
    files = onnx_files(own, ABOUT, pixels)
    found, images = entries(files), tiles(own)
    mean, std = (
        np.reshape(found[f"standardization_{name}"], (1, -1, 1, 1)) for name in ("mean", "std")
    )
    fed = ((stacked(images) / 255 - mean) / std).astype(np.float32)
    (y,) = onnxruntime.InferenceSession(files[MODEL]).run(None, {"pixels": fed})
    wanted = exported_networks.expected(own, *images)
    np.testing.assert_allclose(np.moveaxis(y, 1, -1), wanted, atol=1e-4)


@pytest.mark.filterwarnings("ignore")  # GeoDeep's own: it asks for a GPU, and calls rasterio's past
def test_geodeep_maps_a_scene(own, files, tmp_path):
    """Of a scene of one tile it is the map, but for its median filter, which is of 5 pixels."""
    geodeep = pytest.importorskip("geodeep", reason="pip install geodeep")
    geometry = pytest.importorskip("geodeep.utils", reason="pip install geodeep")
    (image,) = tiles(own, num=1)
    profile = {"driver": "GTiff", "height": 16, "width": 16, "count": 3, "dtype": "uint8"}
    profile |= {"crs": "EPSG:32633", "tiled": True, "blockxsize": 16, "blockysize": 16}
    profile["transform"] = rasterio.transform.from_origin(5e5, 4e6, 0.3, 0.3)
    with rasterio.open(tmp_path / "scene.tif", "w", photometric="RGB", **profile) as scene:
        scene.write(np.moveaxis(image[0], -1, 0))
    (tmp_path / "model.onnx").write_bytes(files[MODEL])
    found = geodeep.segment(str(tmp_path / "scene.tif"), str(tmp_path / "model.onnx"))
    wanted = exported_networks.expected(own, image)[0].argmax(-1).astype(np.uint8)
    assert 0.05 < wanted.mean() < 0.95
    np.testing.assert_array_equal(found, geometry.median_filter(wanted, 5))


def test_geoai_finds_its_sidecar(files):
    assert json.loads(files[SIDECAR]) == {
        "model_name": "noise2map",
        "task": "semantic-segmentation",
        "input_height": 16,
        "input_width": 16,
        "input_channels": 3,
        "num_labels": 2,
        "id2label": {"0": "background", "1": "building"},
    }


def check_item(item, content):
    """Check the structure that STAC 1.1.0 and its Machine Learning Model extension require."""
    assert (item["type"], item["stac_version"]) == ("Feature", "1.1.0")
    assert "https://stac-extensions.github.io/mlm/v1.5.2/schema.json" in item["stac_extensions"]
    assert item["id"]
    assert item["links"] == []
    assert item["geometry"] is None
    assert "bbox" not in item  # which STAC forbids without a place
    properties, assets = item["properties"], item["assets"]
    assert properties["datetime"] == "2026-01-02T03:04:05Z"
    assert properties.keys() >= REQUIRED
    assert not properties.keys() & OF_ASSETS
    assert re.fullmatch(STAC_NAME, properties["mlm:name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", properties["mlm:framework_version"])
    assert properties["mlm:pretrained"] or properties["mlm:pretrained_source"] is None
    (model,) = [one for one in assets.values() if "mlm:model" in one["roles"]]
    assert model["mlm:artifact_type"] == "onnx"
    assert not model.keys() & OF_ITEMS
    assert model["href"] == f"./{MODEL}"
    assert model["file:size"] == len(content)
    assert model["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()
    names = [band["name"] for band in model["bands"]]
    assert [band["name"] for band in properties["bands"]] == names
    inputs, outputs = properties["mlm:input"], properties["mlm:output"]
    for one in (*(i["input"] for i in inputs), *(o["result"] for o in outputs)):
        assert len(one["shape"]) == len(one["dim_order"]) == len(set(one["dim_order"])) == 4
        assert all(size == -1 or size > 0 for size in one["shape"])
        assert one["data_type"] == "float32"
    for one in inputs:
        assert one["name"] in [i.name for i in onnxruntime.InferenceSession(content).get_inputs()]
        assert one["bands"] == names
        assert one["input"]["shape"][1] == len(names)
    for one in outputs:
        assert set(one["tasks"]) <= set(properties["mlm:tasks"])
        for value, a_class in enumerate(one["classification:classes"]):
            assert a_class["value"] == value
            assert re.fullmatch("[0-9A-Za-z_-]+", a_class["name"])
            assert re.fullmatch("[0-9A-F]{6}", a_class["color_hint"])


def test_the_item_describes_the_file(own, files):
    item = json.loads(files[ITEM])
    check_item(item, files[MODEL])
    properties = item["properties"]
    (source,) = properties["mlm:input"]
    assert source["value_scaling"] == [{"type": "scale", "value": 255}]  # data / value
    assert source["bands"] == ["image_1", "image_2", "image_3"]
    assert properties["mlm:pretrained"] is False
    assert properties["mlm:total_parameters"] == sum(
        leaf.size for leaf in exported_networks.jax.tree.leaves(own.params)
    )


def test_the_item_of_a_pair_names_the_bands_of_both_dates(pair_files):
    item = json.loads(pair_files[ITEM])
    check_item(item, pair_files[MODEL])
    (source,), (result,) = item["properties"]["mlm:input"], item["properties"]["mlm:output"]
    assert source["bands"] == ["pre_1", "pre_2", "post_1", "post_2"]
    assert source["value_scaling"] is None
    assert result["classification:classes"][0]["name"] == "no_change"
    assert result["classification:classes"][0]["description"] == "no change"
    assert item["properties"]["mlm:pretrained_source"] == "pretrained"
