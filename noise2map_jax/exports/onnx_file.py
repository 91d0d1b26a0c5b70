"""Export as ONNX, with what Deepness (QGIS), GeoDeep and geoai read about a network.

Deepness and GeoDeep read entries of the file, each of them JSON:
https://qgis-plugin-deepness.readthedocs.io/en/latest/creators/creators_add_metadata_to_model.html
geoai reads a file beside it. Both feed values of 0 to 1, the pixel divided by 255.
"""

import datetime
from typing import Any

import onnx

from noise2map_jax import strict_json
from noise2map_jax.errors import UserError
from noise2map_jax.exports.onnx_network import prediction_graph
from noise2map_jax.exports.prediction import TilePrediction
from noise2map_jax.exports.stac_item import stac_item

MODEL, SIDECAR, ITEM = "model.onnx", "model.onnx.json", "item.json"
FILES = (MODEL, SIDECAR, ITEM)
# What the graph's input is multiplied by to be pixels as stored.
PIXELS = {"scaled": 255.0, "stored": 1.0}
_LARGEST = 2**31 - 1  # bytes of a protocol buffer
# Percent of a tile: an eighth at each side is not used, as in maps of scenes.
_OVERLAP = 25


def onnx_files(
    prediction: TilePrediction,
    about: dict[str, Any],
    pixels: str = "scaled",
    time: datetime.datetime | None = None,
) -> dict[str, bytes]:
    """Export a prediction.

    Args:
        prediction: the prediction.
        about: what `metadata.describe` says about it.
        pixels: what the graph takes: `scaled` = the stored pixel divided by 255, `stored` = the
            pixel as stored; both float32.
        time: time of the export; None = now.

    Returns:
        The files by name, of which `ITEM` describes the others.

    Raises:
        UserError: the network cannot be written as ONNX.
    """
    graph, source, result = prediction_graph(prediction, PIXELS[pixels])
    software, version = about["software"].split()
    model = graph.model(source, result, producer_name=software, producer_version=version)
    entries = deepness_entries(prediction, about, pixels) | {"noise2map": about}
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=strict_json.dumps(value))
    size = model.ByteSize()
    if size > _LARGEST:
        raise UserError(
            f"the network takes {size / 1e9:.2f} GB, and an ONNX file holds at most"
            f" {_LARGEST / 1e9:.2f} GB: use --format=stablehlo"
        )
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    item = stac_item(
        prediction,
        about,
        href=MODEL,
        content=content,
        pixels=pixels,
        framework_version=onnx.__version__,
        time=time or datetime.datetime.now(datetime.UTC),
    )
    sidecar = geoai_sidecar(prediction, source.channels)
    return {
        MODEL: content,
        SIDECAR: f"{strict_json.dumps(sidecar, indent=2)}\n".encode(),
        ITEM: f"{strict_json.dumps(item, indent=2)}\n".encode(),
    }


def deepness_entries(
    prediction: TilePrediction, about: dict[str, Any], pixels: str
) -> dict[str, Any]:
    """Return the entries that Deepness and GeoDeep read, by name.

    `seg_thresh` is a probability below which a class does not count. For two classes 0.5 is the
    most probable class; for more classes only 0 is. Deepness feeds (pixel / 255 - mean) / std.
    """
    bands = prediction.tile_shape[-1] * len(prediction.image_keys)
    entries = {
        "model_type": "Segmentor",
        "class_names": {str(k): name for k, name in enumerate(prediction.classes)},
        "tile_size": prediction.tile_size,
        "tiles_size": prediction.tile_size,  # the name in Deepness's documentation
        "tiles_overlap": _OVERLAP,
        "standardization_mean": [0.0] * bands,
        "standardization_std": [PIXELS[pixels] / 255] * bands,
        "seg_thresh": 0.5 if len(prediction.classes) == 2 else 0.0,
        "seg_small_segment": 0,  # nothing is removed
    }
    if about["resolution_cm"]:
        entries["resolution"] = about["resolution_cm"]
    return entries


def geoai_sidecar(prediction: TilePrediction, num_bands: int) -> dict[str, Any]:
    """Return what geoai reads beside the model."""
    return {
        "model_name": "noise2map",
        "task": "semantic-segmentation",
        "input_height": prediction.tile_size,
        "input_width": prediction.tile_size,
        "input_channels": num_bands,
        "num_labels": len(prediction.classes),
        "id2label": {str(k): name for k, name in enumerate(prediction.classes)},
    }
