import json
import math
import types

import numpy as np
import pytest
from study_config import get_config

from noise2map_jax.errors import UserError
from noise2map_jax.study import tuning
from noise2map_jax.study.variants import parse_variants

GRID = ("train.learning_rate=1e-3|1e-2",)


def study_of(**fields):
    config = get_config()
    config.study.variants = ("paper", "wide: model.unet.norm_num_groups=2")
    config.study.reference = "paper"
    config.study.seeds = (0, 1)
    config.study.tune, config.study.tune_seeds = GRID, (7, 8)
    config.study.update(fields)
    return config


def test_every_variant_has_every_value_with_seeds_of_its_own():
    study = tuning.tuning_config(study_of()).study
    found = parse_variants(study.variants, study.grid)
    assert [variant.name for variant in found] == [
        f"{name}, learning_rate={rate}" for name in ("paper", "wide") for rate in ("1e-3", "1e-2")
    ]
    assert found[0].overrides[-1] == "train.learning_rate=1e-3"
    assert "noise.kind=structured" in found[0].overrides  # what the control sets stays set
    assert found[3].overrides == ("model.unet.norm_num_groups=2", "train.learning_rate=1e-2")
    assert (study.seeds, study.tune, study.reference) == ((7, 8), (), found[0].name)
    assert study.cost_repeats == 0  # the study itself measures what networks cost


def result(f1):
    """A member whose foreground F1 is about this."""
    right = round(1000 * f1)
    return types.SimpleNamespace(
        confusions=np.array([[[5000, 1000 - right], [1000 - right, right]]], np.int64)
    )


def results(**scores):
    return [
        (f"{variant}, learning_rate={rate}", result(f1))
        for variant, by_rate in scores.items()
        for rate, f1s in zip(("1e-3", "1e-2"), by_rate, strict=True)
        for f1 in f1s
    ]


def test_the_highest_mean_over_seeds_is_chosen(tmp_path):
    (tmp_path / tuning.FOLDER).mkdir()
    # The second value of `paper` has the best single seed, but not the best mean.
    done = results(paper=((0.6, 0.62), (0.9, 0.1)), wide=((0.3, 0.3), (0.31, 0.32)))
    tuning.choose(study_of(), tmp_path, done)
    found = tuning.read(tmp_path)
    assert found["paper"].overrides == ("train.learning_rate=1e-3",)
    assert found["wide"].overrides == ("train.learning_rate=1e-2",)
    assert list(found["paper"].f1.values()) == pytest.approx([0.61, 0.5])
    assert found["paper"].describe() == (
        "train.learning_rate=1e-3 (F1 on validation: learning_rate=1e-3: 61.00, "
        "learning_rate=1e-2: 50.00)"
    )
    variants = tuning.with_chosen(parse_variants(study_of().study.variants, ()), tmp_path)
    assert variants[1].overrides == ("model.unet.norm_num_groups=2", "train.learning_rate=1e-2")
    assert variants[0].describe() == "the published noise process train.learning_rate=1e-3"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_value_that_failed_is_not_chosen(tmp_path, order):
    (tmp_path / tuning.FOLDER).mkdir()
    scores = [(), (0.2, 0.2)]
    done = results(paper=[scores[i] for i in order], wide=((0.3, 0.3), (0.9,)))
    tuning.choose(study_of(), tmp_path, done)
    found = tuning.read(tmp_path)
    rate = ("1e-3", "1e-2")[order.index(1)]
    assert found["paper"].overrides == (f"train.learning_rate={rate}",)
    assert "no score" in found["paper"].describe()
    # One seed of two was the best of all, but the other failed.
    assert found["wide"].overrides == ("train.learning_rate=1e-3",)
    assert math.isnan(found["wide"].f1["learning_rate=1e-2"])
    content = json.loads((tmp_path / "tuning" / "chosen.json").read_text())
    assert content["wide"]["f1"]["learning_rate=1e-2"] is None


def test_a_variant_that_failed_with_every_value_is_named(tmp_path):
    done = results(paper=((0.1, 0.2), (0.3, 0.4)), wide=((0.9,), ()))
    words = r"'wide' no score with learning_rate=1e-3, learning_rate=1e-2: .*; give study.tune oth"
    with pytest.raises(UserError, match=words):
        tuning.choose(study_of(), tmp_path, done)


@pytest.mark.parametrize("text", ["{", "[]", '{"paper": 3}', '{"paper": {"overrides": []}}'])
def test_a_damaged_choice_is_named(tmp_path, text):
    (tmp_path / tuning.FOLDER).mkdir()
    (tmp_path / tuning.FOLDER / tuning.CHOSEN).write_text(text)
    with pytest.raises(UserError, match=r"chosen.json is damaged \(.*; delete it"):
        tuning.read(tmp_path)


def test_a_variant_without_tuned_values_is_named(tmp_path):
    with pytest.raises(UserError, match="no tuned values of paper, wide: --mode=ablate finds them"):
        tuning.with_chosen(parse_variants(study_of().study.variants, ()), tmp_path)


@pytest.mark.parametrize("seeds", [(), (1, 2)])
def test_seeds_of_the_comparison_are_not_used_for_the_choice(seeds):
    with pytest.raises(UserError, match=r"study.tune_seeds is \("):
        tuning.tuning_config(study_of(tune_seeds=seeds))


def test_a_grid_that_is_wrong_is_named_as_tune():
    with pytest.raises(UserError, match=r"study.tune: 'train.learning_rate=' is empty"):
        tuning.tuning_config(study_of(tune=("train.learning_rate=",)))
