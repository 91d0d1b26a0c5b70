"""Which variants of a study are points of one line over a field."""

import types

import numpy as np
import pytest
from study_config import get_config

from noise2map_jax.ablate import ablate
from noise2map_jax.errors import UserError
from noise2map_jax.page.curves import ScoreLine
from noise2map_jax.study.field_lines import lines_over
from noise2map_jax.study.field_scores import field_scores
from noise2map_jax.study.study import create_study
from noise2map_jax.study.variants import parse_variants

BUDGETS = ("train.num_steps=40|20|80",)


def a_config(over, variants=(), grid=BUDGETS, **fields):
    config = get_config()
    config.study.update(variants=variants, grid=grid, over=over, **fields)
    return config


def lines(config):
    variants = parse_variants(config.study.variants, config.study.grid)
    return [
        (line.label, [(x, v.name) for x, v in line.points]) for line in lines_over(config, variants)
    ]


def test_each_value_is_a_point():
    points = [(20.0, "num_steps=20"), (40.0, "num_steps=40"), (80.0, "num_steps=80")]
    assert lines(a_config("train.num_steps")) == [("num_steps", points)]


def test_what_differs_in_more_is_another_line():
    grid = ("noise.kind=structured|clean", "train.scene_share=0.5|1.0")
    found = lines(a_config("train.scene_share", grid=grid))
    assert [label for label, _ in found] == ["kind=structured", "kind=clean"]
    assert [[x for x, _ in points] for _, points in found] == [[0.5, 1.0], [0.5, 1.0]]


def test_another_length_of_training_is_another_line_over_anything_else():
    grid = ("train.scene_share=0.5|1.0", "train.num_steps=20|80")
    found = lines(a_config("train.scene_share", grid=grid))
    assert [label for label, _ in found] == ["num_steps=20", "num_steps=80"]


def test_what_goes_with_the_length_of_training_may_differ():
    variants = (
        "short: train.num_steps=20 train.eval_every_steps=10 train.warmup_steps=2",
        "long: train.num_steps=80 train.eval_every_steps=40 train.warmup_steps=8",
    )
    points = [(20.0, "short"), (80.0, "long")]
    assert lines(a_config("train.num_steps", variants, ())) == [("short", points)]


def test_a_line_is_named_by_what_names_share():
    variants = tuple(
        f"{kind} for {n}: train.num_steps={n} noise.kind={kind}"
        for kind in ("clean", "structured")
        for n in (20, 80)
    )
    found = lines(a_config("train.num_steps", variants, ()))
    assert [label for label, _ in found] == ["clean for", "structured for"]


def test_lines_are_told_apart_where_all_names_begin_alike():
    variants = tuple(
        f"n{n}{kind}: train.num_steps={n} noise.kind={kind}"
        for kind in ("clean", "structured")
        for n in (20, 80)
    )
    found = lines(a_config("train.num_steps", variants, ()))
    assert [label for label, _ in found] == ["n20clean", "n20structured"]


def test_tuned_fields_may_differ():
    variants = tuple(f"{n}: train.num_steps={n} train.learning_rate={n / 1e4}" for n in (20, 80))
    config = a_config("train.num_steps", variants, (), tune=("train.learning_rate=2e-3|8e-3",))
    assert len(lines(config)) == 1
    config.study.tune = ()
    with pytest.raises(UserError, match="no two variants differ in that field alone"):
        lines(config)


def test_two_variants_are_not_one_point():
    variants = ("a: train.num_steps=20", "b: train.num_steps=20 train.warmup_steps=3")
    with pytest.raises(UserError, match=r"'a' and 'b' both have 20 and would be one point"):
        lines(a_config("train.num_steps", variants, ()))


@pytest.mark.parametrize(
    ("over", "grid", "words"),
    [
        ("train.steps", BUDGETS, "study.over is 'train.steps', which is no field"),
        (
            "noise.schedule",
            BUDGETS,
            "which is 'linear' in variant 'num_steps=40'; expected a field",
        ),
        ("train.cosine", BUDGETS, "which is False in variant"),
        (
            "train.num_epochs",
            BUDGETS,
            "no effect in variant 'num_steps=40', because train.num_steps",
        ),
        ("train.learning_rate", BUDGETS, "no two variants differ in that field alone"),
    ],
)
def test_a_field_that_gives_no_line_is_refused(over, grid, words):
    config = a_config(over, grid=grid, reference="num_steps=40")
    with pytest.raises(UserError, match=words):
        lines(config)


def test_a_study_is_refused_before_it_trains(thin_data, tmp_path):
    config = a_config("train.steps", reference="num_steps=40")
    config.data.data_dir = str(thin_data)
    with pytest.raises(UserError, match=r"study\.over is 'train\.steps'"):
        create_study(config, tmp_path)


def test_a_tuned_study_is_refused_before_it_tunes_too(thin_data, tmp_path):
    config = a_config("train.steps", reference="num_steps=40", tune=("train.learning_rate=1|2",))
    config.data.data_dir = str(thin_data)
    with pytest.raises(UserError, match=r"study\.over is 'train\.steps'"):
        ablate(config, tmp_path)
    assert not (tmp_path / "tuning").exists()


def test_scores_are_ordered_by_value_and_members_without_a_result_are_left_out():
    config = a_config("train.num_steps")
    variants = parse_variants((), BUDGETS)

    def done(variant, right):
        confusions = np.array([[[50, 10 - right], [10 - right, right]]])
        return types.SimpleNamespace(variant=variant), types.SimpleNamespace(confusions=confusions)

    study = types.SimpleNamespace(config=config, variants=variants)
    found = field_scores(study, [done(variants[0], 4), done(variants[1], 3), done(variants[0], 5)])
    assert found.field == "train.num_steps"
    assert found.lines == (ScoreLine("num_steps", ((20.0, (0.3,)), (40.0, (0.4, 0.5)))),)
    nothing = types.SimpleNamespace(confusions=np.array([[[50, 0], [0, 0]]]))
    assert field_scores(study, [(done(variants[0], 4)[0], nothing)]) is None
    assert field_scores(study, []) is None
    config.study.over = ""
    assert field_scores(study, [done(variants[0], 4)]) is None
