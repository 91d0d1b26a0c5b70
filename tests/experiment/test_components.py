import jax
import numpy as np
import pytest
import thin_config
from thin_rivals import config_of

from noise2map_jax.errors import UserError
from noise2map_jax.experiment.components import (
    count_params,
    create_problem,
    create_process,
    create_task,
    predicting_at,
)
from noise2map_jax.experiment.network_choice import create_model, sees_noise
from noise2map_jax.method.class_losses import sum_of_losses
from noise2map_jax.method.tasks import TASKS
from noise2map_jax.network.interface import init_params


def test_statistics_are_not_counted_as_parameters():
    config = config_of("unet")
    config.model.options = '{"encoder":{"blocks":[1,1,1,1]}}'
    model = create_model(config)
    shapes = jax.eval_shape(lambda key: init_params(model, key, 32), jax.random.key(0))
    values = shapes["encoder"]["bn1"]["scale"].size
    assert shapes["batch_stats"]["encoder"]["bn1"]["mean"].size == values
    rest = {name: tree for name, tree in shapes.items() if name != "batch_stats"}
    assert count_params(shapes) == sum(leaf.size for leaf in jax.tree.leaves(rest))
    assert count_params({"a": np.zeros((2, 3))}) == 6


@pytest.mark.parametrize(
    ("name", "task", "noised", "expected"),
    [
        ("unet", "ss", False, False),
        ("unet", "ss", True, True),
        ("unet", "denoise", False, True),
        ("noise2map", "ss", False, True),
    ],
)
def test_a_rival_gets_the_clean_input_unless_it_denoises_or_is_asked_to(
    name, task, noised, expected
):
    config = config_of("unet", task=task)
    config.model.name, config.model.noised_input = name, noised
    assert sees_noise(config) == expected
    assert bool(create_process(config).use_timestep) == expected


def test_a_config_names_the_losses_that_are_added():
    config = config_of("unet")
    config.train.losses = ("focal", "dice")
    assert create_task(config).loss is sum_of_losses(("focal", "dice"))
    config.train.losses = ("cross_entropy",)
    assert create_task(config) == TASKS["ss"]
    config.train.losses = ("jaccard",)
    with pytest.raises(UserError, match=r"train\.losses is \('jaccard',\); expected one or more"):
        create_task(config)


def test_denoising_has_no_losses_of_classes():
    config = config_of("unet")
    config.task = "denoise"
    assert create_task(config).name == "denoise"
    config.train.losses = ("dice",)
    with pytest.raises(UserError, match="task denoise has the squared error alone"):
        create_task(config)


def test_patches_are_noise2maps_alone():
    config = config_of("unet")
    config.model.patch_size = 2
    with pytest.raises(UserError, match=r"patch_size is 2, which unet does not have"):
        create_model(config)
    config = thin_config.get_config()
    config.model.patch_size = 0
    with pytest.raises(UserError, match=r"patch_size is 0; expected 1 or more"):
        create_model(config)


def test_a_denoiser_of_patches_has_projections():
    config = thin_config.get_config()
    config.task, config.data.classes = "denoise", ()
    config.model.unet.update(in_channels=3, out_channels=3)
    assert not create_model(config).heads[0].projected
    config.model.update(patch_size=2, sample_size=0)
    assert create_model(config).heads[0].projected


def test_a_network_that_sees_no_timestep_predicts_once():
    config = config_of("unet")
    config.noise.inference_timesteps = (3, 7)
    assert create_process(config).inference_timesteps.tolist() == [7]
    with pytest.raises(UserError, match="timesteps are 5, but unet sees neither noise nor"):
        predicting_at(config, (5,))
    config.model.noised_input = True
    assert create_process(config).inference_timesteps.tolist() == [3, 7]
    assert predicting_at(config, (5,)).noise.inference_timesteps == (5,)
    assert predicting_at(config, ()) == config


@pytest.mark.parametrize(
    ("task", "fields", "words"),
    [
        ("denoise", {"augment.paste": 0.5}, "augment.paste is 0.5, but task denoise has no fore"),
        ("ss", {"augment.paste": 0.5, "train.batch_size": 1}, "batch_size 1: there is no other"),
        ("ss", {"augment.crop_size": 16, "augment.zoom": (0.25, 1)}, "see up to 64, but tiles"),
        (
            "cd",
            {"augment.paste": 0.5, "data.classes": ("ground", "intact", "destroyed")},
            "the pairs have 3 classes: what is pasted is a new building",
        ),
        ("ss", {"augment.unchanged": 0.5}, "unchanged is 0.5, but task ss has no pairs"),
        (
            "cd",
            {"augment.unchanged": 0.5, "data.classes": ("ground", "intact", "destroyed")},
            "has pairs with 3 classes",
        ),
    ],
)
def test_augmentation_that_cannot_be_is_refused(task, fields, words):
    config = config_of("fc_ef" if task == "cd" else "unet", task=task)
    config.data.tile_size = 32
    config.update_from_flattened_dict(fields)
    with pytest.raises(UserError, match=words):
        create_problem(config, create_model(config), (1.0, 1.0))


def test_a_crop_may_see_as_much_as_the_tile():
    config = config_of("unet")
    config.data.tile_size, config.augment.crop_size, config.augment.zoom = 32, 16, (0.5, 2.0)
    problem = create_problem(config, create_model(config), (1.0, 1.0))
    assert problem.augmentation.zoom == (0.5, 2.0)


def test_the_zoom_that_is_advised_is_taken():
    config = config_of("unet")
    config.data.tile_size, config.augment.crop_size, config.augment.zoom = 192, 64, (0.2, 1.0)
    model = create_model(config)
    with pytest.raises(UserError, match=r"begin at 0\.334 or more"):
        create_problem(config, model, (1.0, 1.0))
    config.augment.zoom = (0.334, 1.0)
    create_problem(config, model, (1.0, 1.0))
