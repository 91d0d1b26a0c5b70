"""Another network in the place of Noise2Map, by the programs' command lines."""

import json
import re

import numpy as np
import programs
import pytest
import rasterio
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning

import noise2map_jax
from noise2map_jax.errors import UserError
from noise2map_jax.exports import loaded
from noise2map_jax.predict import main as predict

ENCODER = {"widths": [8, 8, 8, 8, 8], "blocks": [1, 1, 1, 1]}
OPTIONS = {
    "encoder": ENCODER,
    "decoder_channels": 8,
    "low_level_channels": 8,
    "atrous_rates": [1, 2, 3],
}
RIVAL = (
    "--config.model.name=deeplabv3plus",  # it has batch normalisation and dropout
    f"--config.model.options={json.dumps(OPTIONS, separators=(',', ':'))}",
    "--config.train.ema_decay=0.9",
    "--config.train.num_steps=8",
    "--config.train.eval_every_steps=4",
)


@pytest.fixture(scope="module")
def run(thin_data, cache, tmp_path_factory):
    """Train a rival, and return its work folder."""
    workdir = tmp_path_factory.mktemp("rival") / "run"
    options = ("--config=tests/helpers/thin_config.py", f"--workdir={workdir}")
    options += (f"--config.data.data_dir={thin_data}", *RIVAL)
    programs.run(options, programs.environment(cache))
    return workdir


def test_a_run_that_stops_and_goes_on_is_as_one_that_does_not(run, program, tmp_path):
    other = tmp_path / "other"
    program(*RIVAL, "--config.train.num_steps=5", workdir=other)
    program(*RIVAL, workdir=other)
    assert programs.metrics(run) == programs.metrics(other)
    scores = programs.metrics(run, "val/loss")
    assert scores.items() <= programs.metrics(other, "val/loss").items()
    assert set(scores) == {4, 8}


def test_it_is_scored_mapped_and_exported(run, program, tmp_path, capsys):
    done = program(*RIVAL, "--mode=eval", "--config.eval.split=val", workdir=run)
    assert re.search(r"checkpoint of step \d+\n", done.stdout)  # at no timestep
    content = json.loads((run / "report" / "scores_val.json").read_text())
    assert 0 < content["scores"]["all tiles"]["f1/foreground"] <= 1

    pixels = np.random.default_rng(0).integers(0, 256, (70, 50, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image, output = f"--image={tmp_path / 'a.png'}", f"--output={tmp_path / 'm.tif'}"
    assert predict([f"--workdir={run}", image, output, "--threshold=best"]) == 0
    model = noise2map_jax.load(run)
    maps = model.predict(pixels, threshold="best")
    with pytest.raises(UserError, match="deeplabv3plus sees neither noise nor a timestep here"):
        model.predict(pixels, timesteps=(1, 2))
    uncertain = f"--uncertainty={tmp_path / 'u.tif'}"
    assert predict([f"--workdir={run}", image, output, uncertain]) == 2
    assert "nor a timestep, so it gives one; use --tta" in capsys.readouterr().err
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(tmp_path / "m.tif") as source:
        np.testing.assert_array_equal(source.read(1), maps.classes)

    from noise2map_jax.export import main as export

    assert export([f"--workdir={run}", f"--output={tmp_path / 'e'}", "--format=stablehlo"]) == 0
    tile = pixels[:32, :32]
    exported = loaded.load(tmp_path / "e").predict_tiles(tile[None])[0]
    np.testing.assert_allclose(
        exported, model.predict(tile, overlap=0).probabilities, rtol=1e-4, atol=1e-5
    )


def test_what_it_cannot_do_is_one_line(program, tmp_path):
    many = program(*RIVAL, "--config.train.num_microbatches=2", expect=2)
    assert "statistics of the whole batch at once" in many.stderr
    size = program(
        *RIVAL,
        "--config.model.name=unet",
        "--config.model.options=",
        "--config.data.tile_size=31",
        expect=2,
    )
    assert len(size.stderr.strip().splitlines()) == 1
