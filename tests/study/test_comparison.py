import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.family_error import SOURCES, draw
from noise2map_jax.errors import UserError
from noise2map_jax.study.comparison import Difference, VariantSummary, compare
from noise2map_jax.study.effect_size import PairedEffect
from noise2map_jax.study.intervals import Estimate
from noise2map_jax.study.variant_scores import VariantScores


def counts(tp, fp=0, fn=0, tn=10):
    return [[tn, fp], [fn, tp]]


def variant(name, seeds, *by_seed):
    return VariantScores(name, seeds, np.array(by_seed, np.int64).reshape(len(seeds), -1, 2, 2))


def by_hand():
    """Two variants on three records of the two places b and a."""
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


def study(num_variants=2, num_seeds=3, num_places=12, gain=0.0, seed=0, source="both"):
    """Variants v0 (the reference), v1, ..., of which v1 has more hits; and the names of places."""
    rng = np.random.default_rng(seed)
    drawn = draw(rng, 1, num_variants, num_seeds, num_places, SOURCES[source])[0].round()
    moved = (gain * (drawn[1:2, ..., 1, 1] + drawn[1:2, ..., 0, 1])).round()
    drawn[1:2, ..., 1, 1] += moved
    drawn[1:2, ..., 0, 1] -= moved
    drawn[1:2, ..., 1, 0] -= moved
    seeds = tuple(range(num_seeds))
    variants = [VariantScores(f"v{i}", seeds, c) for i, c in enumerate(drawn.astype(np.int64))]
    return variants, [f"place {i}" for i in range(num_places)]


def difference(f1=0.021, seed_error=0.001, num_seeds=3, num_places=20, num_compared=2, known=True):
    numbers = (f1, seed_error, 0.0)
    found = Estimate(*map(np.array, numbers), num_seeds, num_places, np.array(float(num_places)))
    seeds = tuple(range(num_seeds))
    effect = PairedEffect(0.5, num_places * num_seeds)
    return Difference("clean", "paper", seeds, found, effect, num_compared, known)


def test_scores_of_a_hand_computed_study():
    result = compare(*by_hand(), "paper")
    paper, clean = result.variants
    # Whole split: seed 0 has tp 8, fp 3, fn 1; seed 1 has tp 9, fp 4, fn 0.
    np.testing.assert_allclose(paper.f1_by_seed, [16 / 20, 18 / 22])
    np.testing.assert_allclose(paper.f1, (16 / 20 + 18 / 22) / 2)
    np.testing.assert_allclose(paper.f1_std, (18 / 22 - 16 / 20) / np.sqrt(2))
    np.testing.assert_allclose(paper.iou, (8 / 12 + 9 / 13) / 2)
    np.testing.assert_allclose(paper.iou_std, (9 / 13 - 8 / 12) / np.sqrt(2))
    # Place a: F1 1/2 and 1; place b: tp 7 with fp 2 and fp 4.
    assert result.places == ("a", "b")
    np.testing.assert_allclose(paper.f1_by_place, [(0.5 + 1) / 2, (14 / 16 + 14 / 18) / 2])
    np.testing.assert_allclose(clean.f1_by_seed, [18 / 20, 1])


def test_differences_are_of_the_seeds_that_both_have():
    (found,) = compare(*by_hand(), "paper").differences
    assert found.seeds == (1,)
    np.testing.assert_allclose(found.f1, 18 / 20 - 18 / 22)
    # Place a: 2/3 against 1; place b: 1 against 7/9. The larger one is negative: (1 - 2) / 3.
    assert found.effect.num_pairs == 2
    np.testing.assert_allclose(found.effect.size, -1 / 3)
    assert not found.is_significant


@pytest.mark.parametrize("num_places", [1, 2])
def test_of_fewer_than_three_places_nothing_is_told(num_places):
    # The better one by 20 points, for every seed, on every tile of one or two places.
    variants, tiles = study(num_places=12, gain=0.2)
    (enough,) = compare(variants, tiles, "v0").differences
    assert enough.is_significant
    places = [f"place {i % num_places}" for i in range(12)]
    result = compare(variants, places, "v0")
    (found,) = result.differences
    assert found.interval is None
    assert not found.is_significant
    assert np.isnan([found.p, found.detectable]).all()
    noun = "1 place" if num_places == 1 else "2 places"
    assert found.verdict == (
        f"The data cannot show whether v1 and v0 differ: {noun}, at least 3 are needed"
    )
    assert [v.interval for v in result.variants] == [None, None]
    assert result.variants[0].refusal == f"{noun}, at least 3 are needed"


def test_of_one_seed_nothing_is_told():
    result = compare(*study(num_seeds=1, gain=0.2), "v0")
    (found,) = result.differences
    assert np.isnan(result.variants[0].f1_std)
    assert found.interval is None
    assert not found.is_significant
    assert found.verdict.endswith("differ: 1 seed, at least 2 are needed")


def test_tiles_of_one_place_do_not_count_as_several():
    variants, _ = study(num_places=40, source="places")
    apart = compare(variants, [f"place {i}" for i in range(40)], "v0")
    together = compare(variants, [f"place {i // 10}" for i in range(40)], "v0")
    assert together.places == tuple(f"place {i}" for i in range(4))
    assert together.differences[0].f1 == apart.differences[0].f1
    widths = [np.ptp(c.differences[0].interval) for c in (together, apart)]
    assert widths[0] > 1.2 * widths[1]


def test_the_intervals_hold_together_for_all_that_are_compared():
    variants, places = study(num_variants=4, gain=0.05)
    alone = compare(variants[:2], places, "v0").differences[0]
    failed = VariantScores("failed", (), np.zeros((0, len(places), 2, 2), np.int64))
    result = compare([*variants, failed], places, "v0")
    first, *_, last = result.differences
    assert result.num_compared == 3
    assert {d.num_compared for d in result.differences} == {3}
    assert alone.alpha == pytest.approx(3 * first.alpha) == pytest.approx(0.05)
    assert first.f1 == alone.f1
    np.testing.assert_allclose(first.p, min(1, 3 * alone.p))
    assert np.ptp(first.interval) > 1.3 * np.ptp(alone.interval)
    assert last.verdict == (
        "The data cannot show whether failed and v0 differ: no seed finished for both"
    )
    assert np.isnan(last.f1)
    assert last.interval is None
    assert result.variants[-1].seeds == ()
    assert np.isnan(result.variants[-1].f1)
    assert result.variants[-1].interval is None


def test_places_without_foreground_are_no_pairs():
    empty = counts(0)
    one = variant("one", (0,), [counts(3, 1), empty, counts(2, 1)])
    two = variant("two", (0,), [counts(3, 2), empty, counts(2, 0)])
    result = compare([one, two], "abc", "one")
    assert result.differences[0].effect.num_pairs == 2
    np.testing.assert_array_equal(np.isnan(result.variants[0].f1_by_place), [False, True, False])


def test_equal_variants_are_not_told_apart():
    variants, places = study()
    same = dataclasses.replace(variants[0], name="same")
    (found,) = compare([variants[0], same], places, "v0").differences
    assert (found.f1, found.p, found.effect.size) == (0, 1, 0)
    assert found.interval == (0, 0)
    assert found.verdict == (
        "The data cannot tell same and v0 apart: 0.0 points of F1 (95 % interval 0.0 to 0.0, "
        "p = 1.000; 3 seeds, 12 places); 4 of 5 such studies see a difference of 0.0 points"
    )


def test_without_any_foreground_nothing_is_said():
    empty = [variant(name, (0, 1), *[[counts(0)] * 3] * 2) for name in ("one", "two")]
    result = compare(empty, "abc", "one")
    assert result.differences[0].verdict.endswith(" differ: no foreground is labelled")
    assert result.differences[0].outcome == "not compared"
    assert result.variants[0].interval is None


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(12)), st.permutations(range(3)))
def test_the_order_of_records_and_variants_does_not_matter(records, order):
    variants, _ = study(num_variants=3, gain=0.05)
    places = [f"place {i // 2}" for i in range(12)]
    expected = compare(variants, places, "v0")
    shuffled = [
        dataclasses.replace(variants[i], confusions=variants[i].confusions[:, records])
        for i in order
    ]
    found = compare(shuffled, [places[i] for i in records], "v0")
    for one, other in (
        (expected.differences, found.differences),
        (expected.variants, found.variants),
    ):
        assert {d.name: d.interval for d in one} == {d.name: d.interval for d in other}
    verdicts = [{d.name: d.verdict for d in c.differences} for c in (expected, found)]
    assert verdicts[0] == verdicts[1]


def test_exchanging_the_two_turns_the_difference():
    variants, places = study(gain=0.05)
    (one,) = compare(variants, places, "v0").differences
    (other,) = compare(variants, places, "v1").differences
    np.testing.assert_allclose(one.f1, -other.f1)
    np.testing.assert_allclose(one.interval, [-v for v in reversed(other.interval)])
    np.testing.assert_allclose(one.effect.size, -other.effect.size)
    np.testing.assert_allclose(one.p, other.p)


@pytest.mark.parametrize("num_compared", [1, 2, 11])
@settings(deadline=None)
@given(st.floats(-0.1, 0.1), st.floats(1e-4, 0.05))
def test_no_p_contradicts_the_verdict(num_compared, f1, seed_error):
    found = difference(f1, seed_error, num_compared=num_compared)
    if abs(found.p - 0.05) > 1e-6:
        assert (found.p < 0.05) == found.is_significant
    assert found.is_significant == found.interval.leaves_out_zero()
    assert ("cannot tell" in found.verdict) == (not found.is_significant)


def test_intervals_end_where_scores_do():
    wide = Estimate(np.array(0.5), np.array(9.0), np.array(0.0), 2, 20, np.array(20.0))
    empty = np.zeros(0)
    summary = VariantSummary("paper", (0, 1), 0.5, 0.0, 0.4, 0.0, wide, empty, empty)
    assert summary.interval == (0, 1)
    assert difference(f1=0.1, seed_error=9.0).interval == (-1, 1)


def test_p_of_several_comparisons_is_at_most_one():
    one = difference(f1=0.001, seed_error=0.002, num_compared=1)
    # t = 0.5 of 2 degrees of freedom: p = 1 - 0.5 / sqrt(2 + 0.25).
    np.testing.assert_allclose(one.p, 2 / 3, rtol=1e-6)
    assert dataclasses.replace(one, num_compared=2).p == 1
    # t = 300: the chance is 1 - 300 / sqrt(2 + 300**2), 0.00001.
    assert "p < 0.001;" in difference(f1=0.3, seed_error=0.001, num_compared=1).verdict


def test_a_study_that_would_need_more_than_all_of_f1_says_so():
    found = difference(f1=0.0, seed_error=0.15, num_compared=1)
    assert 1 < found.detectable < 2
    assert found.verdict.endswith("such a study sees no difference, however large")


def test_verdicts():
    # Student's t of 2 degrees of freedom: 4.303 at 97.5 %, 6.205 at 98.75 %.
    assert difference().verdict == (
        "clean is better than paper by 2.1 points of F1 (95 % interval 1.5 to 2.7, p = 0.005 "
        "among 2 comparisons; 3 seeds, 20 places); 4 of 5 such studies see a difference of 1.0 "
        "points"
    )
    assert difference().outcome == "better"
    worse = difference(-0.021, 0.00480, num_compared=1, known=False)
    assert worse.verdict.startswith(
        "clean is worse than paper by 2.1 points of F1 (95 % interval 0.03 to 4.2, p = 0.048; "
        "3 seeds, 20 scenes taken for places); 4 of 5"
    )
    assert worse.outcome == "worse"
    unsure = difference(-0.021, 0.00490, num_compared=1)
    assert unsure.outcome == "cannot tell"
    assert unsure.verdict.startswith(
        "The data cannot tell clean and paper apart: -2.1 points of F1 "
        "(95 % interval -4.2 to 0.01, p = 0.050; 3 seeds"
    )
    blind = difference(0.02, 0.02, num_seeds=2, num_compared=5)
    assert blind.verdict.endswith("; such a study sees no difference, however large")


def test_a_planted_difference_is_found():
    found = [
        compare(*study(gain=0.05, num_seeds=5, seed=i), "v0").differences[0] for i in range(20)
    ]
    assert sum(d.is_significant and d.f1 > 0 for d in found) >= 15


def test_mistakes_are_named():
    variants, places = by_hand()
    with pytest.raises(UserError, match="no variant 'x' to compare with; expected one of"):
        compare(variants, places, "x")
    failed = VariantScores("failed", (), np.zeros((0, 3, 2, 2), np.int64))
    with pytest.raises(UserError, match="no seed of the reference 'failed' finished"):
        compare([*variants, failed], places, "failed")
    with pytest.raises(UserError, match="no variants"):
        compare([], places, "paper")
