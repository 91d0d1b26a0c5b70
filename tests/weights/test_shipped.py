"""Weights that come with the project: they fit their configs, and know what a building is."""

import json

import numpy as np
import pytest
from flax import traverse_util
from problems import drawn_params
from programs import data_prep, environment, metrics, run

from configs import drawn_cd, drawn_ss
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.experiment import create_experiment
from noise2map_jax.weights import read_tensor_file
from noise2map_jax.weights.initialization import initialize
from noise2map_jax.weights.shipped import names, shipped
from noise2map_jax.weights.single_file import read_origin

# Foreground F1 on scenes that were not trained on. Everything foreground has 35 to 45 % for
# buildings and 10 to 20 % for changes; random values are far below.
LEAST = {"drawn_ss": 0.65, "drawn_cd": 0.6}
TOWNS = {"drawn_ss": "suburb,city", "drawn_cd": "suburb"}  # what they have learnt
DATASETS = {"drawn_ss": "drawn_ss", "drawn_cd": "drawn_cd2"}  # as they were called there


def test_every_name_is_a_file_of_half_precision():
    assert names() == [f"shipped:{name}" for name in sorted(LEAST)]
    for name in names():
        tensors = read_tensor_file(shipped(name)).values()
        assert {tensor.dtype for tensor in tensors} == {np.dtype(np.float16)}
        assert all(np.isfinite(tensor).all() for tensor in tensors)


@pytest.mark.parametrize("name", sorted(LEAST))
def test_they_are_of_the_config_of_their_name(name):
    """A recipe that moves away from its weights must show."""
    expected = {"drawn_ss": drawn_ss, "drawn_cd": drawn_cd}[name].get_config()
    found = read_origin(shipped(f"shipped:{name}"))
    assert found.step == expected.train.num_steps
    told = {"data.dataset": DATASETS[name], "train.write_report": False}
    own = flat(found.config) | {field: flat(expected)[field] for field in told}
    assert {field: flat(found.config)[field] for field in told} == told
    assert own == flat(expected)


def flat(config):
    fields = json.loads(json.dumps(config.to_dict()))
    return traverse_util.flatten_dict(fields, keep_empty_nodes=True, sep=".")


@pytest.mark.parametrize("name", ["shipped:", "shipped:other", "shipped:../drawn/drawn_ss"])
def test_another_name_is_refused_with_those_that_there_are(name):
    with pytest.raises(UserError, match=r"no weights 'shipped:.*shipped:drawn_ss"):
        shipped(name)


@pytest.mark.parametrize("name", sorted(LEAST))
def test_they_find_buildings_of_scenes_that_were_not_trained_on(name, cache, tmp_path):
    task = name.removeprefix("drawn_")
    data_prep(
        "synthetic",
        *(f"--task={task}", f"--name={name}", f"--data_dir={tmp_path}", "--num_scenes=1,6,1"),
        *("--scene_size=256", "--tile_size=256", "--seed=1", "--num_workers=1"),
        f"--towns={TOWNS[name]}",
    )
    no_training = ("num_steps=1", "learning_rate=1e-12", "batch_size=1", "log_every_steps=1")
    done = run(
        (
            *(f"--config=configs/{name}.py", f"--workdir={tmp_path / 'run'}"),
            *(f"--config.data.data_dir={tmp_path}", f"--config.init_from=shipped:{name}"),
            *("--config.init_parts=all", "--config.train.write_report=False"),
            *("--config.eval.batch_size=2", "--config.eval.num_pictures=1"),
            *(f"--config.train.{field}" for field in no_training),
        ),
        environment(cache),
    )
    assert f"tensors from the file shipped:{name} " in done.stdout + done.stderr
    assert "random: none" in done.stdout + done.stderr
    (f1,) = metrics(tmp_path / "run", "val/f1/foreground").values()
    assert f1 > LEAST[name]


def config_of(thin_data, task):
    """An experiment with the backbone of drawn scenes."""
    config = drawn_ss.get_config() if task == "ss" else drawn_cd.get_config()
    config.data.data_dir, config.data.dataset = str(thin_data), f"thin_{task}"
    config.data.tile_size, config.augment.crop_size, config.augment.zoom = 32, 0, (1.0, 1.0)
    config.model.unet.in_channels = 48
    config.init_from = "shipped:drawn_ss"
    return config


def initial_of(config):
    experiment = create_experiment(config)
    return initialize(experiment, drawn_params(experiment.model, 32))


def test_their_backbone_serves_another_task(thin_data):
    config = config_of(thin_data, "cd")
    projections = ("input_conv/kernel", "input_conv/bias", "output_conv/kernel", "output_conv/bias")
    assert set(initial_of(config).drawn) == {f"cd_{name}" for name in projections}
    config.init_parts = "all"
    with pytest.raises(UserError, match="has projections for task ss, but this experiment is cd"):
        initial_of(config)


def test_another_backbone_is_named(thin_data):
    config = config_of(thin_data, "ss")
    config.model.unet.block_out_channels = (8, 16, 24, 32)
    with pytest.raises(UserError, match=r"backbone: block_out_channels is \(32, 64, .*here \(8, 1"):
        initial_of(config)


def test_another_patch_size_is_refused_or_warned_of(thin_data):
    config = config_of(thin_data, "ss")
    config.model.patch_size = 2
    assert "model.patch_size was 4 there and is 2 here" in initial_of(config).summary()
    config.init_parts = "all"
    with pytest.raises(UserError, match=r"has model.patch_size=4, here it is 2"):
        initial_of(config)


def test_other_networks_say_what_the_weights_are_of(thin_data):
    config = config_of(thin_data, "ss")
    config.model.name, config.model.encoder, config.model.patch_size = "unet", "resnet18", 1
    with pytest.raises(UserError, match=r"^init_from=shipped:drawn_ss is of noise2map; .* is unet"):
        initialize(create_experiment(config), {})
