"""A STAC item that describes an exported network (Machine Learning Model extension 1.5.2).

https://github.com/stac-extensions/mlm
"""

import datetime
import hashlib
import re
from typing import Any

from noise2map_jax.experiment.components import count_params
from noise2map_jax.exports.prediction import TilePrediction
from noise2map_jax.pictures.class_colours import class_colours

EXTENSIONS = (
    "https://stac-extensions.github.io/mlm/v1.5.2/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
)
_SHA256 = "1220"  # multihash: SHA-256, 32 bytes
_TASK = "semantic-segmentation"  # maps of changes too: the extension has no name for them


def stac_item(
    prediction: TilePrediction,
    about: dict[str, Any],
    *,
    href: str,
    content: bytes,
    pixels: str,
    framework_version: str,
    time: datetime.datetime,
) -> dict[str, Any]:
    """Describe an ONNX file.

    The item has no place: a network is of no place, and where its training images lie is not
    known.

    Args:
        prediction: the prediction in the file.
        about: what `metadata.describe` says about it.
        href: name of the file beside the item.
        content: the file.
        pixels: `scaled` or `stored`, see `onnx_file.onnx_files`.
        framework_version: version of ONNX.
        time: time of the export.

    Returns:
        Content for JSON.
    """
    names = _band_names(prediction)
    # The extension looks for bands in the properties; STAC allows them there if an asset has some.
    bands = [{"name": band} for band in names]
    size = prediction.tile_size
    name = f"noise2map_{about['task']}_{about['config_sha256'][:8]}"
    pretrained = prediction.config.init_from
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(EXTENSIONS),
        "id": f"{name}_{about['step']}",
        "geometry": None,
        "properties": {
            "datetime": time.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "title": f"Noise2Map: {about['task_title']}",
            "description": f"{about['software']}, step {about['step']}",
            "bands": bands,
            "mlm:name": name,
            "mlm:architecture": "U-Net",
            "mlm:tasks": [_TASK],
            "mlm:framework": "ONNX",
            "mlm:framework_version": framework_version,
            "mlm:total_parameters": count_params(prediction.params),
            "mlm:pretrained": bool(pretrained),
            "mlm:pretrained_source": pretrained.rstrip("/").rsplit("/", 1)[-1] or None,
            "mlm:input": [_input(names, size, about["dtype"], pixels)],
            "mlm:output": [_output(prediction.classes, size)],
            "mlm:hyperparameters": {
                "timesteps": about["timesteps"],
                "config_sha256": about["config_sha256"],
                "scores": about["scores"],
            },
        },
        "assets": {
            "model": {
                "href": f"./{href}",
                "type": "application/octet-stream; framework=onnx",
                "title": "the network with scaling and noise",
                "roles": ["mlm:model", "mlm:weights"],
                "mlm:artifact_type": "onnx",
                "bands": bands,
                "file:size": len(content),
                "file:checksum": _SHA256 + hashlib.sha256(content).hexdigest(),
            }
        },
        "links": [],
    }


def _band_names(prediction: TilePrediction) -> list[str]:
    """Name the channels of the input: the bands of all dates, one date after the other."""
    bands = range(1, prediction.tile_shape[-1] + 1)
    return [f"{key}_{band}" for key in prediction.image_keys for band in bands]


def _input(names: list[str], size: int, dtype: str, pixels: str) -> dict[str, Any]:
    divided = [{"type": "scale", "value": 255}]  # data / value
    return {
        "name": "pixels",
        "bands": names,
        "input": {
            "shape": [-1, len(names), size, size],
            "dim_order": ["batch", "channel", "height", "width"],
            "data_type": "float32",
        },
        "description": f"pixels of {dtype} images; the range of the network is in the file",
        "value_scaling": divided if pixels == "scaled" else None,
        "resize_type": None,
    }


def _output(classes: tuple[str, ...], size: int) -> dict[str, Any]:
    colours = class_colours(len(classes))
    return {
        "name": "probabilities",
        "tasks": [_TASK],
        "result": {
            "shape": [-1, len(classes), size, size],
            "dim_order": ["batch", "class", "height", "width"],
            "data_type": "float32",
        },
        "description": "the probability of each class",
        "classification:classes": [
            {
                "value": value,
                "name": re.sub(r"[^0-9A-Za-z_-]+", "_", name),  # all that the extension allows
                "description": name,
                "color_hint": "".join(f"{channel:02X}" for channel in colour),
            }
            for value, (name, colour) in enumerate(zip(classes, colours, strict=True))
        ],
    }
