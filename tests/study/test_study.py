"""The members of a study: all made and checked before any is trained."""

import contextlib
import importlib
import json
import pathlib
import shutil

import pytest
import study_config
from ml_collections import ConfigDict

from configs import ablate_recipe, default
from noise2map_jax.ablate import ablate
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.components import create_process
from noise2map_jax.experiment.config_fields import fields
from noise2map_jax.experiment.network_choice import create_model, is_rival
from noise2map_jax.method.augment import Augmentation
from noise2map_jax.study.field_lines import lines_over
from noise2map_jax.study.study import create_study, open_study
from noise2map_jax.study.variants import parse_variants

STUDIES = ("ablate_noise", "ablate_schedules", "ablate_timesteps", "ablate_pretraining")


@pytest.fixture
def config(thin_data):
    config = study_config.get_config()
    config.data.data_dir = str(thin_data)
    return config


def test_members_are_runs_in_folders_of_their_own(config, tmp_path):
    study = create_study(config, tmp_path)
    folders = [member.run.workdir.relative_to(tmp_path).as_posix() for member in study.members]
    assert folders == [f"members/{v}-{s}" for v in ("paper", "cosine") for s in (0, 1)]
    last = study.members[-1].run.experiment.config
    assert (last.seed, last.noise.schedule) == (1, "squaredcos_cap_v2")
    assert "study" not in last  # it is a run like any other


def test_a_mistake_in_the_study_comes_up_before_anything_is_tuned(config, tmp_path):
    config.study.reference = "papr"
    config.study.tune = ("train.learning_rate=1e-3|1e-2",)
    with pytest.raises(UserError, match=r"study.reference is 'papr'; expected one of paper, cosi"):
        ablate(config, tmp_path)
    assert not (tmp_path / "tuning").exists()


def test_what_differs_in_noise_seed_and_initial_values_shares_an_executable(config, tmp_path):
    config.study.variants = (
        *config.study.variants,
        *("clean", "mine: init_from=somewhere", "gaussian"),
        "several: noise.inference_timesteps=1,2",
        "short: noise.num_train_timesteps=100",
        "exact: model.matmul_precision=highest",
        "wide: model.unet.block_out_channels=16,16",
        "fast: train.learning_rate=1.0",
        "turned: augment.flips_and_turns=False",
    )
    groups = create_study(config, tmp_path).groups
    names = [sorted({member.variant.name for member in group}) for group in groups]
    assert names == [
        ["clean", "cosine", "gaussian", "mine", "paper"],
        *(["several"], ["short"], ["exact"], ["wide"], ["fast"], ["turned"]),
    ]
    assert [len(group) for group in groups] == [10, 2, 2, 2, 2, 2, 2]


def test_what_a_variant_begins_with_is_missed_before_anything_is_compiled(config, tmp_path):
    config.study.variants = (*config.study.variants, "mine: init_from=somewhere")
    with pytest.raises(UserError, match=r"variant 'mine': init_from=somewhere is not there"):
        open_study(config, tmp_path)
    config.study.variants = (*config.study.variants[:-1], "mine: init_from=shipped:drawn")
    with pytest.raises(
        UserError, match=r"variant 'mine': no weights 'shipped:drawn' come with the project, only"
    ):
        open_study(config, tmp_path)
    config.study.variants = (
        *config.study.variants[:-1],
        *("mine: init_from=somewhere", "shipped: init_from=shipped:drawn_ss"),
    )
    (tmp_path / "somewhere").mkdir()
    with contextlib.chdir(tmp_path):
        assert open_study(config, tmp_path).members


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reference": "papr"}, "study.reference is 'papr'; expected one of paper, cosine"),
        ({"seeds": ()}, "study.seeds is ()"),
        ({"seeds": (1, 1)}, "study.seeds is (1, 1)"),
        ({"seeds": (0.5,)}, "study.seeds is (0.5,); expected one or more different whole"),
        ({"seeds": (-1,)}, "seed is -1"),
        ({"seeds": (2**32,)}, "seed is 4294967296; expected 0 or more and less than 2**32"),
        ({"execution": "fast"}, "study.execution is 'fast'; expected auto, dispatch"),
        ({"variants": (1, 2)}, "study.variants is (1, 2); expected strings"),
        ({"variants": ("paper", "x: train.optimizer=foo")}, "variant 'x': unknown"),
        (
            {"variants": ("paper", "x: train.num_microbatches=3")},
            "variant 'x': a batch of 8 cannot",
        ),
        ({"variants": ("paper", "x: train.batch_size=0")}, "variant 'x': a batch of 0 cannot"),
        ({"num_timesteps": -1}, "num_timesteps is -1"),
        ({"max_members": 0}, "max_members 0"),
        ({"cost_repeats": -1}, "study.cost_repeats is -1; expected 0 or more"),
        ({"variants": ("paper", "swap")}, "variant 'swap': noise.mix is 'swap'"),
        ({"variants": ("paper", "x: noise.schedule=fast")}, "variant 'x': unknown schedule 'fast'"),
        ({"variants": (), "grid": ()}, "nothing to compare"),
    ],
)
def test_a_wrong_study_is_named_before_anything_is_trained(config, change, said, tmp_path):
    for field, value in change.items():
        config.study[field] = value
    with pytest.raises(UserError) as error:
        create_study(config, tmp_path)
    assert said in str(error.value)
    assert not list(tmp_path.iterdir())


def test_the_split_of_evaluation_does_not_move_a_study(config, tmp_path):
    config.eval.split = "tset"  # of --mode=eval, which is not this
    assert len(create_study(config, tmp_path).members) == 4


def test_a_dataset_without_validation_is_named_before_anything_is_trained(config, tmp_path):
    folder = tmp_path / "data" / "thin_ss" / "1.0.0"
    shutil.copytree(pathlib.Path(config.data.data_dir) / "thin_ss" / "1.0.0", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["splits"]["val"]["num_records"] = 0
    (folder / "manifest.json").write_text(json.dumps(manifest))
    config.data.data_dir = str(tmp_path / "data")
    with pytest.raises(UserError, match="has no 'val' split"):
        create_study(config, tmp_path)


def test_a_section_that_lacks_a_field_is_named(config, tmp_path):
    config.study = ConfigDict({"variants": ("paper",)})
    with pytest.raises(UserError, match="study lacks grid, seeds, reference"):
        create_study(config, tmp_path)


def test_what_has_no_maps_of_one_task_cannot_be_studied(config, tmp_path):
    config.task = "denoise"
    with pytest.raises(UserError, match="this config has denoising"):
        create_study(config, tmp_path)
    several = default.multitask(config, {"ss": config})
    with pytest.raises(UserError, match="this config has several tasks"):
        create_study(several, tmp_path)
    with pytest.raises(UserError, match="no section `study`"):
        create_study(default.get_config(), tmp_path)


RIVALS = [(name, data) for name in ("rivals_ss", "rivals_cd") for data in ("whu", "xview2")]


@pytest.mark.parametrize(
    ("name", "argument"),
    [*RIVALS, ("rivals_ss", "buildings,denoising"), ("rivals_cd", "levir,denoising")],
)
def test_the_networks_of_every_shipped_study_can_be_made(name, argument):
    config = importlib.import_module(f"configs.{name}").get_config(argument)
    for variant in parse_variants(config.study.variants, config.study.grid):
        own = variant.apply(config)
        model = create_model(own)
        # Batch normalisation of a rival refuses parts of a batch, which the paper's settings have.
        assert not is_rival(own) or own.train.num_microbatches == 1, variant.name
        assert own.data.tile_size % model.stride == 0
    assert len(config.study.tune) == 1


@pytest.mark.parametrize("task", ["ss", "cd"])
@pytest.mark.parametrize("name", STUDIES)
def test_the_variants_of_every_shipped_study_can_be_made(name, task):
    config = importlib.import_module(f"configs.{name}").get_config(task)
    variants = parse_variants(config.study.variants, config.study.grid)
    assert config.study.reference in [variant.name for variant in variants]
    processes = [create_process(variant.apply(config)) for variant in variants]
    assert len({process.signal.shape for process in processes}) == 1


def recipes(argument):
    config = ablate_recipe.get_config(argument)
    return config, {v.name: v.apply(config) for v in parse_variants(config.study.variants, ())}


@pytest.mark.parametrize("argument", ["ss", "cd", "ss,whole", "cd,whole", "ss,small"])
def test_the_authors_recipe_is_theirs(argument):
    config, variants = recipes(argument)
    task = config.task
    own, recipe = variants["authors_recipe"], variants["recipe"]
    assert (own.train.optimizer, own.train.learning_rate) == ("adam", 1e-4)
    assert not own.train.cosine
    assert (own.train.warmup_steps, own.train.ema_decay, own.train.max_gradient_norm) == (0, 0, 0)
    assert own.train.losses == ("cross_entropy",)
    assert own.train.class_weights == {"ss": (1.0, 5.0), "cd": (1.0, 3.0)}[task]
    size = config.augment.crop_size
    assert Augmentation(**own.augment) == Augmentation(flips_and_turns=False, crop_size=size)
    assert own.noise == default.get_config().noise
    assert (own.init_from, own.train.initial_share, own.train.place_power) == ("", 0, 1)
    # What both share: network, number of images, and the weights that count.
    assert own.model == recipe.model
    for field in ("batch_size", "num_steps", "eval_every_steps", "scene_share"):
        assert own.train[field] == recipe.train[field]
    checkpoints = 4 if "whole" in argument else 1
    assert own.train.num_steps == checkpoints * own.train.eval_every_steps


@pytest.mark.parametrize("task", ["ss", "cd"])
def test_the_whole_recipe_is_the_shipped_one(task):
    _, variants = recipes(f"{task},whole")
    shipped = ablate_recipe.TASKS[task].get_config()
    own, expected = fields(variants["recipe"]), fields(shipped)
    expected["eval.group_regex"] = ""
    assert {name: own[name] for name in expected} == expected
    assert 4 * recipes(task)[1]["recipe"].train.num_steps <= shipped.train.num_steps
    assert set(variants) >= {"authors_recipe", "recipe, clean", "recipe, clean_timestep"}


# What else may differ: a variant that changes other fields compares something else.
OF_PARTS = {
    "no drawn scenes": {"init_from"},
    "no light": {"augment.brightness", "augment.contrast"},
    "no colour, no blur": {"augment.colour", "augment.blur"},
    "no zoom": {"augment.zoom"},
    "no flips": {"augment.flips_and_turns"},
    "constant rate, no average": {"train.cosine", "train.warmup_steps", "train.ema_decay"},
    "clean": {"noise.kind"},
    "clean_timestep": {"noise.kind"},
    "places as they come": {"train.place_power"},
    "trained weights alone": {"train.initial_share"},
    "dates exchanged": {"augment.exchange_dates"},
    "no unchanged pairs": {"augment.unchanged"},
    "all timesteps": {"noise.timestep_range"},
    "weak augmentation": {
        *("augment.brightness", "augment.contrast", "augment.colour", "augment.blur"),
        "augment.zoom",
    },
    "a quarter of the steps": {"train.num_steps", "train.eval_every_steps"},
    "images of all places": {"train.share_by_place"},
    "no training": {"train.num_steps", "train.eval_every_steps", "train.learning_rate"},
}


@pytest.mark.parametrize("task", ["ss", "cd", "ss,whole", "cd,whole", "ss,small", "cd,small"])
def test_a_part_of_a_recipe_is_one_thing(task):
    _, variants = recipes(task)
    recipe = fields(variants["recipe"])
    for name, own in variants.items():
        changed = {field for field, value in fields(own).items() if value != recipe[field]}
        if name not in ("recipe", "authors_recipe"):
            assert changed == OF_PARTS[name.removeprefix("recipe, ")]


@pytest.mark.parametrize("task", ["ss", "cd"])
def test_no_part_of_a_recipe_is_one_that_it_does_not_have(task):
    _, variants = recipes(task)
    recipe = fields(variants["recipe"])
    for name, own in variants.items():
        changed = {field for field, value in fields(own).items() if value != recipe[field]}
        assert bool(changed) == (name != "recipe"), name


@pytest.mark.parametrize("argument", ["ss,steps", "ss,labels", "cd,steps", "cd,labels"])
def test_a_curve_of_a_recipe_is_one_line(argument):
    config = ablate_recipe.get_config(argument)
    (line,) = lines_over(config, parse_variants(config.study.variants, ()))
    assert len(line.points) == len(config.study.variants) > 3


@pytest.mark.parametrize("task", ["ss", "cd"])
def test_few_images_are_about_twenty(task):
    config, variants = recipes(f"{task},small")
    scenes = {"ss": 136, "cd": 35}[task]  # of `buildings` and of `levir_cd`
    assert 20 <= scenes * config.train.scene_share <= 21
    assert {own.train.scene_share for own in variants.values()} == {config.train.scene_share}


@pytest.mark.parametrize("task", ["ss", "cd"])
def test_all_lengths_of_a_recipe_choose_among_four_checkpoints(task):
    config, variants = recipes(f"{task},steps")
    for own in variants.values():
        assert own.train.num_steps == 4 * own.train.eval_every_steps
    whole = ablate_recipe.TASKS[task].get_config().train
    reference = variants[config.study.reference].train
    assert (reference.num_steps, reference.eval_every_steps) == (
        whole.num_steps,
        whole.eval_every_steps,
    )


@pytest.mark.parametrize("argument", ["", "ssx", "ss,", "ss,minutes"])
def test_other_studies_of_recipes_are_refused(argument):
    with pytest.raises(UserError, match=f"no study '{argument}'; expected one of: ss cd ss,whole"):
        ablate_recipe.get_config(argument)
