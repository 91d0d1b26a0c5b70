"""Export as StableHLO: the compiled form of JAX before a device is chosen."""

import hashlib

import jax
import jax.export
import jax.numpy as jnp

from noise2map_jax import strict_json
from noise2map_jax.exports.loaded import FORMAT, METADATA, PROGRAM
from noise2map_jax.exports.prediction import POSITION, TilePrediction
from noise2map_jax.weights.export import portable

PLATFORMS = ("cpu", "cuda", "tpu")
FILES = (PROGRAM, METADATA)


def stablehlo_files(prediction: TilePrediction, about: dict) -> dict[str, bytes]:
    """Export a prediction for any batch size on CPUs, CUDA GPUs and TPUs.

    Args:
        prediction: the prediction.
        about: what `metadata.describe` says about it.

    Returns:
        The files by name, of which `METADATA` describes the other; see `loaded.load`.
    """
    (batch,) = jax.export.symbolic_shape("batch")
    size, _, bands = prediction.tile_shape
    image = jax.ShapeDtypeStruct((batch, size, size, bands), jnp.dtype(about["dtype"]))
    position = jax.ShapeDtypeStruct((batch,), jnp.int32)
    arguments = [position if key in POSITION else image for key in prediction.input_keys]
    exported = jax.export.export(jax.jit(prediction.probabilities), platforms=PLATFORMS)(*arguments)
    program = bytes(exported.serialize())
    inputs = [
        {"name": key, "shape": [-1, *one.shape[1:]], "dtype": one.dtype.name}
        for key, one in zip(prediction.input_keys, arguments, strict=True)
    ]
    content = {
        "format": FORMAT,
        **about,
        "inputs": inputs,
        "output": {
            "name": "probabilities",
            "shape": [-1, size, size, len(prediction.classes)],
            "dtype": "float32",
        },
        "platforms": list(PLATFORMS),
        "jax": jax.__version__,
        "config": portable(prediction.config),  # `noise2map_jax.load` maps scenes with it
        "sha256": hashlib.sha256(program).hexdigest(),
    }
    return {PROGRAM: program, METADATA: f"{strict_json.dumps(content, indent=2)}\n".encode()}
