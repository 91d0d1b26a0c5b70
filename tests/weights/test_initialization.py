"""Training starts from the tensors asked for, and says which ones stayed random."""

import contextlib

import jax
import numpy as np
import pytest
import thin_config
from flax import traverse_util
from problems import drawn_params
from programs import ROOT, metrics
from safetensors.numpy import load_file, save_file

from noise2map_jax import weights
from noise2map_jax.devices import checkpoint
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.experiment import create_experiment
from noise2map_jax.experiment.run import open_run
from noise2map_jax.experiment.run_config import save_config
from noise2map_jax.weights.initialization import initialize

CHURCH = ROOT / "tests" / "golden" / "church_thin"


def flat(tree):
    return {k: np.asarray(v) for k, v in traverse_util.flatten_dict(tree, sep="/").items()}


def config_of(thin_data, task="ss"):
    config = thin_config.get_config()
    config.data.data_dir = str(thin_data)
    config.task, config.data.dataset = task, f"thin_{task}"
    if task == "cd":
        config.data.classes = ("no_change", "change")
    return config


def experiment_of(config):
    """The experiment, and parameters at random."""
    experiment = create_experiment(config)
    return experiment, jax.tree.map(lambda leaf: leaf, drawn_params(experiment.model, 32))


@pytest.fixture(scope="module")
def finished_run(thin_data, tmp_path_factory):
    """A run of segmentation with its best parameters, which are not those of the first step."""
    workdir = tmp_path_factory.mktemp("run")
    return workdir, save_run(config_of(thin_data), workdir)


def save_run(config, workdir):
    """Save a run with parameters that are not those of the first step; return them by name."""
    _, params = experiment_of(config)
    params = jax.tree.map(lambda p: p + 1, params)
    save_config(config, workdir)
    with contextlib.closing(checkpoint.Checkpoints(workdir / "checkpoints")) as checkpoints:
        checkpoints.save_best(7, params, 0.5)
    return flat(params)


def test_the_backbone_of_a_run_serves_another_task(finished_run, thin_data):
    workdir, trained = finished_run
    config = config_of(thin_data, "cd")
    config.init_from = str(workdir)
    experiment, params = experiment_of(config)
    initial = initialize(experiment, params)
    before, after = flat(params), flat(initial.params)
    assert before.keys() == after.keys()
    for name, value in after.items():
        expected = trained[name] if name.startswith("unet/") else before[name]
        np.testing.assert_array_equal(value, expected, err_msg=name)
    assert set(initial.drawn) == {name for name in after if name.startswith("cd_")}
    assert initial.num_taken + len(initial.drawn) == len(after)
    assert "step 7" in initial.summary()
    assert "cd_output_conv/kernel" in initial.summary()
    assert f"(SHA-256 {initial.digest[:12]})" in initial.summary()


def test_the_digest_is_of_what_was_read(thin_data, tmp_path):
    """Of names and values, and not of those that stay random nor of where they were read from."""
    digests = []
    for number, change in enumerate((1.0, 1.0, 2.0)):
        _, params = experiment_of(config_of(thin_data))
        params["unet"] = jax.tree.map(lambda p, change=change: p + change, params["unet"])
        workdir = tmp_path / str(number)
        save_config(config_of(thin_data), workdir)
        with contextlib.closing(checkpoint.Checkpoints(workdir / "checkpoints")) as checkpoints:
            checkpoints.save_best(7, params, 0.5)
        config = config_of(thin_data, "cd")
        config.init_from = str(workdir)
        digests.append(initialize(*experiment_of(config)).digest)
    assert digests[0] == digests[1] != digests[2]


def test_all_of_a_run_is_taken_for_the_same_task(finished_run, thin_data):
    workdir, trained = finished_run
    config = config_of(thin_data)
    config.init_from, config.init_parts = str(workdir), "all"
    initial = initialize(*experiment_of(config))
    for name, value in flat(initial.params).items():
        np.testing.assert_array_equal(value, trained[name], err_msg=name)
    assert initial.drawn == ()


def test_what_a_run_does_not_have_stays_random_and_is_said(finished_run, thin_data):
    config = config_of(thin_data)
    config.init_from, config.init_parts = str(finished_run[0]), "all"
    config.model.sample_size = 16
    initial = initialize(*experiment_of(config))
    assert {name.split("/")[0] for name in initial.drawn} == {
        "ss_input_upscaling",
        "ss_output_downscaling",
    }
    assert "random: ss_input_upscaling/bias" in initial.summary()


def test_projections_of_another_task_are_refused(finished_run, thin_data):
    config = config_of(thin_data, "cd")
    config.init_from, config.init_parts = str(finished_run[0]), "all"
    with pytest.raises(UserError, match="for task ss, but this experiment is cd; init"):
        initialize(*experiment_of(config))


def test_every_wrong_tensor_is_named(thin_data, tmp_path):
    config = config_of(thin_data)
    config.model.sample_size = 16  # then it has convolutions around a resampling
    save_run(config, tmp_path)
    config = config_of(thin_data)
    config.init_from, config.init_parts = str(tmp_path), "all"
    with pytest.raises(UserError) as error:
        initialize(*experiment_of(config))
    for word in (
        "ss_input_upscaling/kernel is left over",
        "ss_output_downscaling/bias is left over",
        "init_parts=backbone",
    ):
        assert word in str(error.value)


def restored(workdir):
    return open_run(workdir)[3]


def test_the_first_projection_comes_from_another_task_if_asked_for(thin_data, tmp_path):
    config = config_of(thin_data, "denoise")
    config.data.dataset, config.data.classes = "thin_ss", ()
    config.model.unet.update(in_channels=8, out_channels=8)  # then a denoiser has projections
    save_run(config, tmp_path)
    config = config_of(thin_data)
    config.model.unet.update(in_channels=8, out_channels=8)
    config.init_from, config.init_input = str(tmp_path), "inflate"
    experiment, params = experiment_of(config)
    initial = initialize(experiment, params)
    assert not {"ss_input_conv/kernel", "ss_input_conv/bias"} & set(initial.drawn)
    assert {"ss_output_conv/kernel", "ss_output_conv/bias"} == set(initial.drawn)
    taken = flat(initial.params)["ss_input_conv/kernel"]
    np.testing.assert_array_equal(taken, flat(restored(tmp_path))["denoise_input_conv/kernel"])


def test_a_projection_of_one_image_is_none_of_a_pair(finished_run, thin_data):
    """Repeated for both dates it would see their sum alone."""
    config = config_of(thin_data, "cd")
    config.init_from, config.init_input = str(finished_run[0]), "inflate"
    initial = initialize(*experiment_of(config))
    assert {"cd_input_conv/kernel", "cd_input_conv/bias"} <= set(initial.drawn)
    assert initial.adapted == ()


def test_a_denoiser_is_that_of_ddpm_cd(thin_data, tmp_path):
    denoiser = config_of(thin_data, "denoise")
    denoiser.data.dataset, denoiser.data.classes = "thin_ss", ()
    for config in (denoiser, pair := config_of(thin_data, "cd")):
        config.model.unet.update(in_channels=3, out_channels=3, block_out_channels=(8, 8))
    save_run(denoiser, tmp_path)
    pair.model.name, pair.init_from = "ddpmcd", str(tmp_path)
    initial = initialize(*experiment_of(pair))
    assert {name.split("/")[0] for name in initial.drawn} == {"head"}
    trained = flat(restored(tmp_path))
    for name, value in flat(initial.params).items():
        if name.startswith("unet/"):
            np.testing.assert_array_equal(value, trained[name])


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("model.unet.block_out_channels", (8, 16), r"block_out_channels is \(8,\), here \(8, 16"),
        ("model.unet.norm_num_groups", 2, "norm_num_groups is 4, here 2"),
        ("init_parts", "head", "unknown init_parts 'head'; expected one of backbone, all"),
        ("init_from", "nowhere", "nowhere is neither a finished run nor a diffusers folder"),
    ],
)
def test_another_backbone_or_nothing_is_refused(finished_run, thin_data, field, value, words):
    config = config_of(thin_data)
    config.init_from = str(finished_run[0])
    config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=words):
        initialize(*experiment_of(config))


def test_a_run_without_checkpoints_is_refused_and_left_as_it_is(finished_run, thin_data, tmp_path):
    (tmp_path / "config.json").write_text((finished_run[0] / "config.json").read_text())
    config = config_of(thin_data)
    config.init_from = str(tmp_path)
    with pytest.raises(UserError, match="no checkpoint in"):
        initialize(*experiment_of(config))
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def church_config(thin_data, folder):
    config = config_of(thin_data)
    config.model.unet.update(
        add_attention=True,
        block_out_channels=(4, 4, 8, 8, 12, 12),
        layers_per_block=1,
        attention_levels=(4,),
        norm_num_groups=4,
    )
    config.init_from = str(folder)
    return config


def test_a_diffusers_folder_is_a_backbone(thin_data):
    initial = initialize(*experiment_of(church_config(thin_data, CHURCH)))
    _, expected = weights.load_diffusers(CHURCH)
    taken = flat(initial.params["unet"])
    for name, value in flat(expected).items():
        np.testing.assert_array_equal(taken[name], value, err_msg=name)
    assert set(initial.drawn) == {n for n in flat(initial.params) if not n.startswith("unet/")}


def test_a_diffusers_folder_without_a_tensor_is_refused(thin_data, tmp_path):
    tensors = load_file(CHURCH / weights.WEIGHTS_FILE)
    del tensors["conv_in.bias"]
    save_file(tensors, tmp_path / weights.WEIGHTS_FILE)
    (tmp_path / "config.json").write_text((CHURCH / "config.json").read_text())
    with pytest.raises(UserError, match=r"conv_in\.bias"):
        initialize(*experiment_of(church_config(thin_data, tmp_path)))


def test_training_starts_there_and_a_restart_does_not(finished_run, program, tmp_path):
    options = (f"--config.init_from={finished_run[0]}", "--config.init_parts=all")
    started = program(*options, "--config.train.num_steps=2")
    assert f"tensors from the run {finished_run[0]}, step 7 (SHA-256 " in started.stdout
    fresh = program("--config.train.num_steps=2", workdir=tmp_path / "fresh")
    assert "initial " not in fresh.stdout
    assert abs(metrics(tmp_path / "run")[1] - metrics(tmp_path / "fresh")[1]) > 1e-3
    assert "initial " not in program(*options, "--config.train.num_steps=3").stdout


def with_patches(thin_data, patch_size, **fields):
    config = config_of(thin_data)
    config.model.update(patch_size=patch_size, sample_size=0)
    config.update(fields)
    return config


def test_patches_of_another_size_have_other_projections(thin_data, finished_run):
    source = str(finished_run[0])
    experiment, params = experiment_of(
        with_patches(thin_data, 2, init_from=source, init_parts="all")
    )
    with pytest.raises(UserError, match=r"has model\.patch_size=1, here it is 2; .*=backbone"):
        initialize(experiment, params)
    config = with_patches(thin_data, 2, init_from=source, init_parts="backbone")
    experiment, params = experiment_of(config)
    found = flat(initialize(experiment, params).params)
    for name, value in finished_run[1].items():
        if name.startswith("unet/"):
            np.testing.assert_array_equal(found[name], value)


def test_patches_of_the_same_size_are_taken_whole(thin_data, tmp_path):
    saved = save_run(with_patches(thin_data, 2), tmp_path)
    experiment, params = experiment_of(
        with_patches(thin_data, 2, init_from=str(tmp_path), init_parts="all")
    )
    found = flat(initialize(experiment, params).params)
    for name, value in saved.items():
        np.testing.assert_array_equal(found[name], value)


def test_bands_are_not_fitted_to_patches(thin_data, finished_run):
    fields = {"init_from": str(finished_run[0]), "init_parts": "backbone", "init_input": "inflate"}
    experiment, params = experiment_of(with_patches(thin_data, 2, **fields))
    with pytest.raises(UserError, match=r"init_input=inflate .*model\.patch_size is 2, and 1 in"):
        initialize(experiment, params)
