"""Named variants: what they set, and what is refused."""

import pytest

from configs import default
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.components import create_process
from noise2map_jax.study.variants import CONTROLS, Variant, parse_variants


def config(task="cd"):
    config = default.get_config()
    config.task = task
    return config


def test_a_variant_sets_fields_as_the_command_line_does():
    (variant,) = parse_variants(
        [
            "near the end: noise.timestep_range=900,1000 noise.beta_end=0.01 noise.mix=image"
            " noise.inference_timesteps=5, noise.use_timestep=False model.dtype=bfloat16"
        ],
        [],
    )
    found = variant.apply(config())
    assert variant.name == "near the end"
    assert variant.slug == "near_the_end"
    assert found.noise.timestep_range == (900, 1000)
    assert found.noise.inference_timesteps == (5,)
    assert (found.noise.beta_end, found.noise.mix) == (0.01, "image")
    assert found.noise.use_timestep is False
    assert found.model.dtype == "bfloat16"


def test_long_names_fit_into_file_names_and_stay_apart():
    one, other = Variant("x" * 300 + "a", ()), Variant("x" * 300 + "b", ())
    assert len(one.slug) == len(other.slug) == 100
    assert one.slug != other.slug
    assert Variant("x" * 100, ()).slug == "x" * 100


def test_the_experiment_itself_is_not_changed():
    base = config()
    Variant("other", ("noise.schedule=sigmoid",)).apply(base)
    assert base.noise.schedule == "linear"


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_means_the_same_whatever_the_experiment_sets(name):
    (variant,) = parse_variants([name], [])
    varied = config()
    varied.noise.schedule = "sigmoid"
    varied.noise.timestep_range = (900, 1000)
    varied.noise.min_contrast = 0.2
    varied.noise.inference_timesteps = (3,)
    varied.noise.kind = "clean_timestep"
    assert variant.apply(varied).noise == variant.apply(config()).noise


def test_the_controls_are_the_noise_processes_that_their_names_say():
    process = {
        name: create_process(Variant(name, o).apply(config())) for name, o in CONTROLS.items()
    }
    paper = process["paper"]
    assert float(paper.mix.swap) == 1.0
    assert bool(paper.use_timestep)
    assert float(paper.timestep_weights.sum()) == 1000
    assert int(paper.inference_timesteps[0]) == 999
    for name in ("clean", "clean_timestep"):
        assert float(process[name].noise.max()) == 0.0
        assert float(process[name].signal.min()) == 1.0
    assert not bool(process["clean"].use_timestep)
    assert bool(process["clean_timestep"].use_timestep)
    assert float(process["gaussian"].mix.gaussian) == 1.0
    assert float(process["self"].mix.image) == 1.0
    assert float(process["swap"].mix.swap) == 1.0


def test_a_grid_is_every_combination():
    found = parse_variants(
        ["paper"], ["noise.schedule=linear|sigmoid", "noise.beta_end=0.01|0.02|0.04"]
    )
    assert len(found) == 1 + 6
    assert found[1].name == "schedule=linear, beta_end=0.01"
    assert found[-1].apply(config()).noise.beta_end == 0.04


@pytest.mark.parametrize(
    ("variants", "grid", "said"),
    [
        ([], [], "nothing to compare"),
        (["papr"], [], "'papr' is none of paper, clean"),
        (["clean: noise.kind=clean"], [], "name of a control"),
        ([": noise.kind=clean"], [], "no name"),
        (["paper", "paper"], [], "'paper' comes twice"),
        (["a b: noise.mix=image", "a_b: noise.mix=swap"], [], "'a_b' comes twice, as 'a b'"),
        (["paper"], ["noise.beta_end="], "'noise.beta_end=' is empty"),
        (["paper"], ["noise.beta_end"], "is empty"),
        (["paper"], ["noise.beta_end=0.01||0.02"], "has an empty value"),
        (["paper"], ["noise.beta_end=0.1", "noise.beta_end=0.2"], "noise.beta_end comes twice"),
        (
            ["paper"],
            ["a=" + "|".join(map(str, range(40))), "b=" + "|".join(map(str, range(40)))],
            "study.grid has 1600 combinations",
        ),
        (["paper"], ["noise.beta_end=0.1|0.1"], "comes twice"),
    ],
)
def test_what_cannot_be_compared_is_named(variants, grid, said):
    with pytest.raises(UserError, match=said.replace("|", r"\|")):
        parse_variants(variants, grid)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("noise.kid=clean", "no such config field 'noise.kid'"),
        ("nose.kind=clean", "no such config field 'nose.kind'"),
        ("noise.kind.more=1", "no such config field"),
        ("noise.beta_end", "not of the form"),
        ("noise.beta_end=high", "expected a float"),
        ("noise.use_timestep=1", "expected a bool"),
        ("train.batch_size=True", "expected a int"),
        ("train.batch_size=2.5", "expected a int"),
        ("noise=None", "expected a ConfigDict"),
        ("noise.timestep_range='a',", "expected a tuple"),
        ("model.unet.block_out_channels=8.5,16", "expected a tuple"),
        ("seed=3", "all variants of a study share"),
        ("data.dataset=other", "all variants of a study share"),
        ("task=ss", "all variants of a study share"),
    ],
)
def test_a_wrong_override_is_named_with_its_variant(override, said):
    with pytest.raises(UserError, match=said) as error:
        Variant("mine", (override,)).apply(config())
    assert "'mine'" in str(error.value)
