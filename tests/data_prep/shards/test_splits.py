"""Places are divided by seed, never shared between splits, and stay where they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.basics.dataset import SPLITS
from data_prep.basics.errors import UserError
from data_prep.shards import splits

names = st.sets(st.text(min_size=1, max_size=6), min_size=3, max_size=60)
parts = st.tuples(*[st.integers(0, 50)] * 3).filter(any)
shares = parts.map(lambda whole: tuple(part / sum(whole) for part in whole))


@given(names, shares, st.integers(0, 2**40))
def test_every_group_has_one_split_and_no_wanted_split_is_empty(groups, fractions, seed):
    split_of = splits.assign(groups, fractions, seed)
    assert set(split_of) == groups
    wanted = {name for name, share in zip(SPLITS, fractions, strict=True) if share}
    assert set(split_of.values()) == wanted


def test_shares_and_seed_are_kept():
    groups = [f"scene{i}" for i in range(1000)]
    first, again, other = (splits.assign(groups, (0.7, 0.1, 0.2), seed) for seed in (0, 0, 1))
    counts = [list(first.values()).count(name) for name in SPLITS]
    assert counts == [700, 100, 200]
    assert first == again
    moved = sum(first[name] != other[name] for name in groups)
    assert 200 < moved < 800


def test_order_of_the_names_does_not_matter_and_a_new_scene_moves_few():
    groups = [f"scene{i}" for i in range(200)]
    before = splits.assign(groups, (0.7, 0.1, 0.2), 0)
    assert splits.assign(reversed(groups), (0.7, 0.1, 0.2), 0) == before
    after = splits.assign([*groups, "new"], (0.7, 0.1, 0.2), 0)
    assert sum(after[name] != before[name] for name in groups) <= 3


def test_too_few_scenes_is_an_error_with_both_numbers():
    with pytest.raises(UserError, match=r"^2 place.* at least 3 "):
        splits.assign(["a", "b"], (0.7, 0.1, 0.2), 0)


@given(names, st.integers(0, 100))
def test_a_cut_validation_is_a_proper_part_of_train(train, seed):
    chosen = splits.cut_validation(train, (0.7, 0.1, 0.2), seed)
    assert chosen < train
    assert abs(len(chosen) - len(train) / 8) <= 1


def test_one_train_scene_cannot_be_cut():
    with pytest.raises(UserError, match="train has 1 place"):
        splits.cut_validation(["a"], (0.7, 0.1, 0.2), 0)


def test_a_train_without_a_share_cannot_be_cut():
    with pytest.raises(UserError, match="--splits=0,0,1 leaves nothing to train"):
        splits.cut_validation(["a", "b"], (0, 0, 1), 0)


def test_scenes_of_one_group_become_val_together_and_test_stays():
    split_of = {f"{g}{i}": "train" for g in "abcdefgh" for i in range(2)} | {"t0": "test"}
    group_of = {scene: scene[0] for scene in split_of}
    cut, rule = splits.with_validation(split_of, group_of, (0.7, 0.1, 0.2), 3, "areas")
    val = {scene for scene, split in cut.items() if split == "val"}
    assert len(val) == 2
    assert len({scene[0] for scene in val}) == 1
    assert cut["t0"] == "test"
    assert list(cut) == list(split_of)
    assert rule.startswith("; the source has no val: 1 of 8 train areas became val, in the order")
    for kept in ({"a": "train", "b": "val"}, {"a": "test"}):
        itself = {name: name for name in kept}
        assert splits.with_validation(kept, itself, (0.7, 0.1, 0.2), 3, "areas") == (kept, "")


def number_of(num_groups, fractions):
    split_of = splits.assign([f"place{i}" for i in range(num_groups)], fractions, 0)
    return [list(split_of.values()).count(name) for name in SPLITS]


@pytest.mark.parametrize(
    ("num_groups", "fractions", "expected"),
    [
        (3, (0.98, 0.01, 0.01), [1, 1, 1]),  # as many as splits are enough
        (6, (1, 0, 0), [6, 0, 0]),
        (2, (0.5, 0, 0.5), [1, 0, 1]),
        (10, (0.1, 0.6, 0.3), [1, 6, 3]),
        (9, (0.5, 0.5, 0), [5, 4, 0]),  # 4.5 each, rounded to 4: the first takes the rest
    ],
)
def test_numbers_of_places_worked_by_hand(num_groups, fractions, expected):
    assert number_of(num_groups, fractions) == expected


def test_shares_are_told_in_percent_of_each_split():
    assert splits.in_words((0.7, 0.1, 0.2)) == "70 % train, 10 % val, 20 % test"


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.4, 0.3, 0.2, 0.1)])
def test_every_split_has_a_share(shares):
    with pytest.raises(ValueError, match="zip"):
        splits.in_words(shares)
    with pytest.raises(ValueError, match="zip"):
        splits.assign("abcdef", shares, 0)


@pytest.mark.parametrize(
    ("num_train", "fractions", "expected"),
    [
        (12, (0.6, 0.3, 0.1), 4),  # 0.3 / 0.9 of them
        (2, (0.99, 0.01, 0), 1),  # at least one
        (9, (0.7, 0, 0.3), 1),
        (4, (0.01, 0.99, 0), 3),  # never all
    ],
)
def test_the_number_that_becomes_val_worked_by_hand(num_train, fractions, expected):
    train = [f"place{i}" for i in range(num_train)]
    assert len(splits.cut_validation(train, fractions, 0)) == expected
