import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from simulated_studies import rate_of_calls, study

from noise2map_jax.comparison import Difference, compare
from noise2map_jax.errors import UserError
from noise2map_jax.intervals import Interval, Intervals
from noise2map_jax.significance import SignedRanks
from noise2map_jax.variant_scores import VariantScores

NAN = float("nan")


def counts(tp, fp=0, fn=0, tn=10):
    return [[tn, fp], [fn, tp]]


def variant(name, seeds, *by_seed):
    return VariantScores(name, seeds, np.array(by_seed, np.int64).reshape(len(seeds), -1, 2, 2))


def by_hand():
    """Two variants on three records of the two scenes b and a."""
    paper = variant(
        "paper",
        (0, 1),
        [counts(4, 2, 0), counts(1, 1, 1), counts(3, 0, 0)],
        [counts(4, 4, 0), counts(2, 0, 0), counts(3, 0, 0)],
    )
    clean = variant(
        "clean",
        (1, 2),
        [counts(4, 0, 0), counts(2, 2, 0), counts(3, 0, 0)],
        [counts(4, 0, 0), counts(2, 0, 0), counts(3, 0, 0)],
    )
    return [paper, clean], ["b", "a", "b"]


def difference(
    f1=0.021,
    interval=(0.009, 0.034),
    p=0.003,
    effect=0.5,
    seeds=(0, 1, 2),
    num_scenes=20,
    num_compared=2,
):
    intervals = Intervals(Interval(*interval), None) if seeds else None
    test = SignedRanks(p, effect, num_scenes * len(seeds))
    return Difference("clean", "paper", seeds, num_scenes, f1, intervals, test, p, num_compared)


def test_scores_of_a_hand_computed_study():
    result = compare(*by_hand(), "paper")
    paper, clean = result.variants
    # Whole split: seed 0 has tp 8, fp 3, fn 1; seed 1 has tp 9, fp 4, fn 0.
    np.testing.assert_allclose(paper.f1_by_seed, [16 / 20, 18 / 22])
    np.testing.assert_allclose(paper.f1, (16 / 20 + 18 / 22) / 2)
    np.testing.assert_allclose(paper.f1_std, (18 / 22 - 16 / 20) / np.sqrt(2))
    np.testing.assert_allclose(paper.iou, (8 / 12 + 9 / 13) / 2)
    np.testing.assert_allclose(paper.iou_std, (9 / 13 - 8 / 12) / np.sqrt(2))
    # Scene a: F1 1/2 and 1; scene b: tp 7 with fp 2 and fp 4.
    assert result.scenes == ("a", "b")
    np.testing.assert_allclose(paper.f1_by_scene, [(0.5 + 1) / 2, (14 / 16 + 14 / 18) / 2])
    np.testing.assert_allclose(clean.f1_by_seed, [18 / 20, 1])


def test_differences_are_of_the_seeds_that_both_have():
    (found,) = compare(*by_hand(), "paper").differences
    assert found.seeds == (1,)
    np.testing.assert_allclose(found.f1, 18 / 20 - 18 / 22)
    # Scene a: 2/3 against 1; scene b: 1 against 7/9. The larger one is negative: (1 - 2) / 3.
    assert found.test.num_pairs == 2
    np.testing.assert_allclose(found.test.effect, -1 / 3)
    assert not found.is_significant


def test_intervals_are_wider_than_those_over_seeds_alone():
    variants, scenes = study(np.random.default_rng(0))
    result = compare(variants, scenes, "v0")
    ours, theirs = (v.f1_by_seed for v in reversed(result.variants))
    (found,) = result.differences
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert found.interval == found.intervals.widest
    assert found.interval.low < expected.low < expected.high < found.interval.high
    np.testing.assert_allclose(found.f1, (ours - theirs).mean())


def test_scenes_without_foreground_are_no_pairs():
    empty = counts(0)
    one = variant("one", (0,), [counts(3, 1), empty, counts(2, 1)])
    two = variant("two", (0,), [counts(3, 2), empty, counts(2, 0)])
    result = compare([one, two], "abc", "one")
    assert result.differences[0].test.num_pairs == 2
    np.testing.assert_array_equal(np.isnan(result.variants[0].f1_by_scene), [False, True, False])


def test_equal_variants_are_not_told_apart():
    (paper, _), scenes = by_hand()
    same = dataclasses.replace(paper, name="same")
    (found,) = compare([paper, same], scenes, "paper").differences
    assert (found.f1, found.p_holm, found.test.effect) == (0, 1, 0)
    assert found.interval == (0, 0)
    assert found.verdict == (
        "The data cannot tell same and paper apart: 0.0 points of F1 "
        "(95 % interval 0.0 to 0.0; p = 1.000, 4 pairs)"
    )


def test_without_any_foreground_nothing_is_said():
    empty = [variant(name, (0,), [counts(0), counts(0)]) for name in ("one", "two")]
    result = compare(empty, "ab", "one")
    assert "not defined" in result.differences[0].verdict
    assert np.isnan(result.variants[0].interval).all()


def test_p_is_adjusted_for_the_variants_that_were_compared():
    variants, scenes = study(np.random.default_rng(1), num_variants=4, gain=0.3)
    failed = VariantScores("failed", (), np.zeros((0, len(scenes), 2, 2), np.int64))
    result = compare([*variants, failed], scenes, "v0")
    *found, last = result.differences
    raw = [d.test.p for d in found]
    assert raw[0] == min(raw)
    np.testing.assert_allclose(found[0].p_holm, 3 * raw[0])
    assert {d.num_compared for d in found} == {3}
    assert last.verdict == "failed and v0 cannot be compared: no seed finished for both"
    assert np.isnan(last.f1)
    assert np.isnan(last.interval).all()
    assert not last.is_significant
    assert result.variants[-1].seeds == ()
    assert np.isnan([result.variants[-1].f1, *result.variants[-1].interval]).all()


def test_a_seed_alone_has_no_deviation():
    variants, scenes = study(np.random.default_rng(0), num_seeds=1)
    result = compare(variants, scenes, "v0")
    assert np.isnan(result.variants[0].f1_std)
    assert result.differences[0].verdict.endswith(
        "; with one seed, differences between seeds are not accounted for"
    )


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(12)), st.permutations(range(3)))
def test_the_order_of_records_and_variants_does_not_matter(records, order):
    variants, _ = study(np.random.default_rng(0), num_variants=3, num_scenes=12, gain=0.2)
    scenes = [f"scene {i // 2}" for i in range(12)]
    expected = compare(variants, scenes, "v0", num_resamples=50)
    shuffled = [
        dataclasses.replace(variants[i], confusions=variants[i].confusions[:, records])
        for i in order
    ]
    found = compare(shuffled, [scenes[i] for i in records], "v0", num_resamples=50)
    assert {d.name: d for d in found.differences} == {d.name: d for d in expected.differences}
    assert {v.name: v.interval for v in found.variants} == {
        v.name: v.interval for v in expected.variants
    }


def test_exchanging_the_two_turns_the_difference():
    variants, scenes = study(np.random.default_rng(0), gain=0.2)
    (one,) = compare(variants, scenes, "v0").differences
    (other,) = compare(variants, scenes, "v1").differences
    np.testing.assert_allclose(one.f1, -other.f1)
    np.testing.assert_allclose(one.interval, [-v for v in reversed(other.interval)])
    np.testing.assert_allclose(one.test.effect, -other.test.effect)
    assert one.is_significant == other.is_significant


def test_verdicts():
    assert difference().verdict == (
        "clean is better than paper by 2.1 points of F1 "
        "(95 % interval 0.9 to 3.4; p = 0.003 after Holm, 60 pairs)"
    )
    worse = difference(f1=-0.021, interval=(-0.034, -0.0004), p=0.0002, effect=-0.5, num_compared=1)
    assert worse.verdict == (
        "clean is worse than paper by 2.1 points of F1 "
        "(95 % interval 0.04 to 3.4; p < 0.001, 60 pairs)"
    )
    assert difference(f1=-0.004, interval=(-0.019, 0.01), p=0.61, effect=-0.1).verdict == (
        "The data cannot tell clean and paper apart: -0.4 points of F1 "
        "(95 % interval -1.9 to 1.0; p = 0.610 after Holm, 60 pairs)"
    )
    assert "; with one scene, differences between scenes" in difference(num_scenes=1).verdict


@pytest.mark.parametrize(
    "changed",
    [dict(p=0.05), dict(interval=(-0.001, 0.034)), dict(effect=-0.5), dict(interval=(NAN, NAN))],
)
def test_each_part_of_the_rule_can_say_no(changed):
    assert difference().is_significant
    assert not difference(**changed).is_significant


def test_mistakes_are_named():
    variants, scenes = by_hand()
    with pytest.raises(UserError, match="no variant 'x' to compare with; see paper, clean"):
        compare(variants, scenes, "x")
    with pytest.raises(UserError, match="0 resamples; expected at least 1"):
        compare(variants, scenes, "paper", num_resamples=0)
    failed = VariantScores("failed", (), np.zeros((0, 3, 2, 2), np.int64))
    with pytest.raises(UserError, match="no seed of the reference 'failed' finished"):
        compare([*variants, failed], scenes, "failed")
    with pytest.raises(UserError, match="no variants"):
        compare([], scenes, "paper")


# The rate is held to 5 %. This many of 300 studies are seen in one of 1,000 cases if it is.
MOST_FALSE_ALARMS = stats.binom.isf(0.001, 300, 0.05) / 300


@pytest.mark.parametrize(
    "effects",
    [
        dict(),
        dict(seed_sd=1.0),
        dict(seed_sd=2.0),
        dict(seed_sd=2.0, num_seeds=5),
        dict(scene_sd=2.0, num_scenes=4),
        dict(scene_sd=2.0, seed_sd=2.0),
        dict(scene_sd=2.0, seed_sd=0.5, num_seeds=5),
    ],
)
def test_equal_variants_are_rarely_called_different(effects):
    assert rate_of_calls(300, **effects) <= MOST_FALSE_ALARMS


@pytest.mark.parametrize("effects", [dict(gain=0.2), dict(gain=1.0, seed_sd=1.0)])
def test_a_planted_difference_is_found(effects):
    assert rate_of_calls(100, **effects) >= 0.9
