"""Places by turns: their shares, records equally often, the seed, going on."""

import collections
import itertools

import numpy as np
import pytest
import thin_config
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered_records import NumberedRecords, numbers

from noise2map_jax.data.dataset import Dataset
from noise2map_jax.data.input_pipeline import train_batches
from noise2map_jax.data.place_balance import (
    MOST_TURNS,
    balanced_order,
    place_shares,
    turns_of_round,
)
from noise2map_jax.data.scene_share import SceneShare
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.experiment import create_experiment
from noise2map_jax.training.reading import read_batches

PLACES = ["a"] * 16 + ["b"] * 4 + ["c"]


def read(num, *, places=PLACES, power, seed=0):
    order = balanced_order(range(len(places)), places, power, seed)
    return [order[i] for i in range(num)]


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        (1.0, {"a": 16 / 21, "b": 4 / 21, "c": 1 / 21}),
        (0.5, {"a": 4 / 7, "b": 2 / 7, "c": 1 / 7}),
        (0.0, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}),
    ],
)
def test_places_are_read_in_their_shares(power, expected):
    assert place_shares(PLACES, power) == pytest.approx(expected)
    counts = collections.Counter(PLACES[i] for i in read(2100, power=power))
    for place, share in expected.items():
        assert counts[place] == pytest.approx(2100 * share, abs=10)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=50), st.floats(0, 1))
def test_turns_of_a_round_are_right_to_a_twentieth(numbers, power):
    weights = np.array(numbers, np.float64) ** power
    shares = weights / weights.sum()
    turns = turns_of_round(shares)
    assert turns.min() >= 1
    assert turns.sum() <= MOST_TURNS + len(turns)
    if shares.min() * MOST_TURNS >= 10:
        np.testing.assert_allclose(turns / turns.sum(), shares, rtol=0.1)
        np.testing.assert_allclose(turns * shares.min() / shares, 10, rtol=0.05)


@settings(deadline=None, max_examples=30)
@given(
    places=st.lists(st.sampled_from("abcd"), min_size=1, max_size=30),
    power=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
    rounds=st.integers(1, 3),
)
def test_after_whole_rounds_records_of_a_place_were_read_equally_often(places, power, seed, rounds):
    shares = place_shares(places, power)
    length = int(turns_of_round(np.array(list(shares.values()))).sum())
    seen = collections.Counter(read(rounds * length, places=places, power=power, seed=seed))
    for place in set(places):
        counts = [seen[i] for i, other in enumerate(places) if other == place]
        assert max(counts) - min(counts) <= 1


def test_the_seed_decides_and_places_of_one_size_have_their_own_order():
    assert read(50, power=0.5) == read(50, power=0.5)
    order = read(40, places=["a"] * 20 + ["b"] * 20, power=0.0)
    first, second = [i for i in order if i < 20], [i for i in order if i >= 20]
    assert first != [i - 20 for i in second]


def test_places_come_in_another_order_with_each_seed_and_in_each_round():
    places = [f"p{i:02d}" for i in range(24)]  # of one tile each: nothing else can be shuffled
    orders = {tuple(read(240, places=places, power=0.0, seed=seed)) for seed in range(5)}
    assert len(orders) == 5
    for order in orders:
        batches = {frozenset(order[first : first + 8]) for first in range(0, 240, 8)}
        assert len(batches) == 30
    two_rounds = read(480, places=places, power=0.0)
    assert two_rounds[:240] != two_rounds[240:]


def test_another_number_of_places_than_of_records_is_refused():
    with pytest.raises(ValueError, match="3 places of 10 records"):
        balanced_order(range(10), ["a", "b", "c"], 0.5, 0)


@settings(deadline=None, max_examples=15)
@given(first_step=st.integers(0, 30), power=st.sampled_from([0.0, 0.5]))
def test_any_step_can_be_gone_on_from(first_step, power):
    def rows(count, **options):
        batches = train_batches(
            *(NumberedRecords(len(PLACES)), ("image",)),
            seed=3,
            batch_size=4,
            rows=range(4),
            places=PLACES,
            place_power=power,
            num_threads=1,
            **options,
        )
        return numbers(itertools.islice(batches, count))

    assert rows(3, first_step=first_step) == rows(first_step + 3)[first_step:]


@pytest.fixture
def config(thin_data):
    config = thin_config.get_config()
    config.data.data_dir, config.data.dataset = str(thin_data), "thin_ss"
    return config


def test_training_reads_places_in_their_shares_and_of_its_own_scenes_only(config, monkeypatch):
    # Ten of the 24 scenes are one place, so what is read depends on the power.
    monkeypatch.setattr(
        Dataset,
        "record_places",
        lambda _self, _split: ["large"] * 10 + [f"p{i}" for i in range(14)],
    )
    config.train.update(place_power=0.0, scene_share=0.5)
    experiment = create_experiment(config)
    (objective,) = experiment.objectives.values()
    for seed in (1, 2):  # not the seed of the config
        places = objective.train_places(seed)
        source = objective.train_source(seed)
        assert len(places) == len(source) == 12
        own = source.numbers.tolist()
        assert places == ["large" if n < 10 else f"p{n - 10}" for n in own]
        place_of = {r["image"].tobytes(): p for r, p in zip(source, places, strict=True)}
        batches = read_batches(
            experiment.objectives, [seed], batch_size=8, rows=list(range(8)), first_step=0
        )
        images = (i for _ in range(50) for i in next(batches)[seed]["ss"]["image"])
        counts = collections.Counter(place_of[image.tobytes()] for image in images)
        expected = 400 / len(set(places))
        assert len(counts) == len(set(places))
        assert all(abs(number - expected) <= 10 for number in counts.values())


def test_a_dataset_that_does_not_tell_scenes_apart_has_no_places(config, monkeypatch):
    old = {"num_records": 24, "num_scenes": 24}
    monkeypatch.setattr(Dataset, "_split", lambda _self, _split: old)
    dataset = create_experiment(config).objectives["ss"].dataset
    with pytest.raises(UserError, match="does not tell scenes apart; build it again"):
        SceneShare(1.0, by_place=False, seed=0).places(dataset)


@pytest.mark.parametrize("power", [-0.1, 1.5])
def test_a_power_that_cannot_be_is_refused(power, config):
    config.train.place_power = power
    with pytest.raises(UserError, match=f"place_power is {power:g}; expected 0"):
        create_experiment(config)


def test_pixels_of_tiles_that_are_read_as_often_do_not_weigh_classes(config):
    config.train.update(place_power=0.5, class_weights_from="data")
    with pytest.raises(UserError, match=r"place_power is 0\.5.*class_weights_from=config"):
        create_experiment(config)


def test_a_run_says_what_it_reads_and_keeps_it(program):
    done = program("--config.train.num_steps=2", "--config.train.place_power=0.5")
    assert "train.place_power=0.5, 24 places: of all tiles that are read 4.2%" in done.stdout
    options = ("--config.train.num_steps=4", "--config.train.place_power=1.0")
    assert "train.place_power" in program(*options, expect=2).stderr
