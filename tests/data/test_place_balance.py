"""Places by turns: their shares, every record before one comes again, the seed, going on."""

import collections
import itertools

import numpy as np
import pytest
import thin_config
from hypothesis import given, settings
from hypothesis import strategies as st

from noise2map_jax.data.dataset import record_id, record_scene
from noise2map_jax.data.input_pipeline import train_batches
from noise2map_jax.data.place_balance import balanced_order, place_shares
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.experiment import create_experiment
from noise2map_jax.training.reading import read_batches

PLACES = ["a"] * 16 + ["b"] * 4 + ["c"]


class Records:
    """Record i is full of i."""

    def __init__(self, num):
        self.num = num

    def __len__(self):
        return self.num

    def __getitem__(self, i):
        return {"image": np.full((1, 1, 1), i, np.uint8)}


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
        assert counts[place] == pytest.approx(2100 * share, abs=2)


@settings(deadline=None, max_examples=30)
@given(
    places=st.lists(st.sampled_from("abcd"), min_size=1, max_size=30),
    power=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_each_place_shows_all_its_records_before_one_comes_again(places, power, seed):
    seen = collections.defaultdict(list)
    for i in read(300, places=places, power=power, seed=seed):
        seen[places[i]].append(i)
    for place, numbers in seen.items():
        own = [i for i, p in enumerate(places) if p == place]
        full = len(numbers) // len(own) * len(own)
        for first in range(0, full, len(own)):
            assert sorted(numbers[first : first + len(own)]) == own


def test_the_seed_decides_and_places_of_one_size_have_their_own_order():
    assert read(50, power=0.5) == read(50, power=0.5) != read(50, power=0.5, seed=1)
    numbers = read(40, places=["a"] * 20 + ["b"] * 20, power=0.0)
    first, second = (n for n in ([i for i in numbers if i < 20], [i for i in numbers if i >= 20]))
    assert first != [i - 20 for i in second]


@settings(deadline=None, max_examples=15)
@given(first_step=st.integers(0, 30), power=st.sampled_from([0.0, 0.5]))
def test_any_step_can_be_gone_on_from(first_step, power):
    def rows(count, **options):
        batches = train_batches(
            *(Records(len(PLACES)), ("image",)),
            seed=3,
            batch_size=4,
            rows=range(4),
            places=PLACES,
            place_power=power,
            num_threads=1,
            **options,
        )
        return [b["image"].ravel().tolist() for b in itertools.islice(batches, count)]

    assert rows(3, first_step=first_step) == rows(first_step + 3)[first_step:]


@pytest.fixture
def config(thin_data):
    config = thin_config.get_config()
    config.data.data_dir, config.data.dataset = str(thin_data), "thin_ss"
    return config


def test_training_reads_places_so_and_of_a_share_of_the_scenes_only(config):
    config.train.update(place_power=0.0, scene_share=0.25)
    experiment = create_experiment(config)
    (objective,) = experiment.objectives.values()
    scenes = [record_scene(record_id(r)) for r in objective.train_source(1)]
    places = objective.train_places(1)
    assert len(places) == len(scenes) == 6
    every = dict(
        zip(
            (record_scene(record_id(r)) for r in objective.dataset.source("train")),
            objective.dataset.record_places("train"),
            strict=True,
        )
    )
    assert places == [every[scene] for scene in scenes]
    batches = read_batches(
        experiment.objectives, [1], batch_size=8, rows=list(range(8)), first_step=0
    )
    allowed = {r["image"].tobytes() for r in objective.train_source(1)}
    assert {i.tobytes() for _ in range(3) for i in next(batches)[1]["ss"]["image"]} == allowed


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
