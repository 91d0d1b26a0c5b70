"""What made a map, for the tags of its file."""

import pathlib

import numpy as np

from data_prep.imagery.band_choice import BandChoice
from noise2map_jax import __version__
from noise2map_jax.experiment.components import create_process
from noise2map_jax.experiment.config_fields import digest
from noise2map_jax.mapping.model import Model
from noise2map_jax.mapping.prediction_options import PredictionOptions


def provenance(
    model: Model, options: PredictionOptions, choice: BandChoice | None = None
) -> dict[str, str]:
    """Return what made a map: software, run, step, digest of the config, options and scores.

    Args:
        model: the network.
        options: how it predicts.
        choice: which bands of the images are read; None: those of the run's dataset.

    Raises:
        UserError: the options do not fit the network.
    """
    tiling, threshold = options.tiling(model.config), model.threshold(options)
    timesteps = np.asarray(create_process(model.predicting(options)).inference_timesteps).tolist()
    tags = {
        "software": f"noise2map_jax {__version__}",
        "run": pathlib.PurePath(model.source).name,
        "step": "unknown" if model.step is None else str(model.step),
        "config_sha256": digest(model.config),
        "task": model.config.task,
        "bands": (choice or model.band_choice).in_words(),
        "inference_timesteps": ", ".join(map(str, timesteps)),
        "symmetries": "8" if options.symmetries else "1",
        "tile_size": str(tiling.tile_size),
        "margin": str(tiling.margin),
        "overlap": str(tiling.overlap),
        "temperature": f"{model.temperature(options):g}",
        "threshold": "most probable class" if threshold is None else f"{threshold:g}",
    }
    for split in ("val", "test"):
        found = model.found.get(f"scores_{split}", {})
        score = found.get("scores", {}).get("all tiles", {}).get("f1/foreground")
        if score is not None and found["step"] == model.step:
            tags |= {
                f"{split}_foreground_f1": f"{score:.4f}",
                f"{split}_protocol": str(found["protocol"]),
            }
    return tags
