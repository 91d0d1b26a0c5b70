"""Shares of a split's scenes: whole scenes, nested, drawn anew with each seed."""

import dataclasses
import json
from collections import Counter

import numpy as np
import pytest
import thin_config
from hypothesis import given
from hypothesis import strategies as st

from noise2map_jax import baselines
from noise2map_jax.data.dataset import Dataset, record_id, record_scene
from noise2map_jax.data.opening import open_dataset
from noise2map_jax.data.scene_share import (
    SceneShare,
    SomeRecords,
    records_of_scenes,
    scenes_of_share,
)
from noise2map_jax.devices.execution import create_execution
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.experiment import create_experiment, num_train_steps
from noise2map_jax.training.reading import read_batches
from noise2map_jax.training.start_summary import _about
from noise2map_jax.training.trainer import Trainer

SCENES = st.lists(st.integers(0, 5), min_size=1, max_size=30).filter(any)
SHARES = st.floats(0.01, 1)


@given(SCENES, SHARES, SHARES, st.integers(0, 2**32 - 1))
def test_whole_scenes_are_drawn_and_shares_are_nested(scene_records, one, other, seed):
    scenes = np.repeat(np.arange(len(scene_records)), scene_records)
    drawn = []
    for share in sorted((one, other)):
        numbers = records_of_scenes(scene_records, scenes_of_share(scene_records, share, seed))
        chosen = set(scenes[numbers])
        assert len(chosen) == max(1, round(share * np.count_nonzero(scene_records)))
        np.testing.assert_array_equal(numbers, np.flatnonzero(np.isin(scenes, list(chosen))))
        drawn.append(chosen)
    assert drawn[0] <= drawn[1]
    everything = records_of_scenes(scene_records, scenes_of_share(scene_records, 1.0, seed))
    np.testing.assert_array_equal(everything, np.arange(sum(scene_records)))


def test_each_seed_draws_its_own():
    drawn = {tuple(scenes_of_share([1] * 100, 0.1, seed)) for seed in range(20)}
    assert len(drawn) == 20


PLACES = st.lists(st.sampled_from("abc"), min_size=1, max_size=30)


@given(PLACES, SHARES, SHARES, st.integers(0, 99))
def test_places_give_scenes_in_turn(places, one, other, seed):
    has, before = Counter(places), set()
    for share in sorted((one, other)):
        drawn = scenes_of_share([1] * len(places), share, seed, places)
        assert len(set(drawn)) == len(drawn) == max(1, round(share * len(places)))
        assert before <= set(drawn)
        before = set(drawn)
        gives = Counter(places[scene] for scene in drawn)
        most = max(gives.values())
        # A place gives fewer because it has no more, or because the share is full.
        assert all(gives[place] in (most, most - 1, n) for place, n in has.items())


def test_places_of_a_scene_each_change_nothing():
    records, places = [2, 0, 3, 1], list("abcd")
    for seed in range(5):
        np.testing.assert_array_equal(
            scenes_of_share(records, 0.7, seed, places), scenes_of_share(records, 0.7, seed)
        )


def test_a_dataset_gives_the_scenes_of_its_places(thin_data):
    dataset = open_dataset("thin_ss", str(thin_data))
    names = ["town"] * 20 + ["village"] * 4
    train = dataset.splits["train"] | {"places": names}
    manifest = dataset.manifest | {"splits": dataset.splits | {"train": train}}
    dataset = dataclasses.replace(dataset, manifest=manifest)
    share = SceneShare(1 / 3, by_place=True, seed=0)
    assert Counter(names[scene] for scene in share.scenes(dataset)) == {"town": 4, "village": 4}
    assert Counter(share.places(dataset)) == {"town": 4, "village": 4}
    assert len(share.source(dataset)) == 8
    assert len(dataclasses.replace(share, share=1).source(dataset)) == 24


def test_some_records_are_those_with_their_numbers():
    some = SomeRecords("abcdef", np.array([1, 4]))
    assert (len(some), some[0], some[1]) == (2, "b", "e")


@pytest.fixture
def config(thin_data):
    config = thin_config.get_config()
    config.data.data_dir, config.data.dataset = str(thin_data), "thin_ss"
    return config


def scenes_read(experiment, seed):
    (objective,) = experiment.objectives.values()
    return {record_scene(record_id(r)) for r in objective.train_source(seed)}


def test_training_reads_that_share(config):
    every = scenes_read(create_experiment(config), 0)
    assert len(every) == 24
    config.train.scene_share = 0.25
    experiment = create_experiment(config)
    first, second = scenes_read(experiment, 0), scenes_read(experiment, 1)
    assert len(first) == len(second) == 6
    assert first != second
    assert first | second < every
    (objective,) = experiment.objectives.values()
    allowed = [r["image"].tobytes() for r in objective.train_source(1)]
    batches = read_batches(
        experiment.objectives, [1], batch_size=8, rows=list(range(8)), first_step=0
    )
    seen = {image.tobytes() for _ in range(3) for image in next(batches)[1]["ss"]["image"]}
    assert seen == set(allowed)


def test_training_reads_places_in_turn_where_asked_to(config, monkeypatch):
    places = ["town"] * 20 + ["village"] * 4
    monkeypatch.setattr(Dataset, "scene_places", lambda _self, _split: places)
    config.train.update(scene_share=1 / 3, share_by_place=True)
    (objective,) = create_experiment(config).objectives.values()
    for seed in (1, 2):  # not the seed of the config
        assert Counter(objective.train_places(seed)) == {"town": 4, "village": 4}
        assert {20, 21, 22, 23} < set(objective.train_source(seed).numbers)
    told = "scenes, 8 tiles, of 2 of 2 places in turn, drawn with seed 0"
    assert told in "\n".join(_about(objective, several=False))


def test_an_epoch_is_that_share_of_the_records(config):
    config.train.update(
        num_steps=0, num_epochs=10.0, batch_size=8, scene_share=0.75, eval_every_steps=0
    )
    assert num_train_steps(config, 24) == 23
    trainer = Trainer(create_experiment(config), create_execution("dispatch", 1, 1))
    assert (trainer.num_steps, trainer._eval_every, trainer._save_every) == (23, 2, 2)


def test_tasks_over_the_same_scenes_read_the_same(thin_data):
    dataset = open_dataset("thin_ss", str(thin_data))
    for seed in (0, 7):
        scenes = scenes_of_share(dataset.scene_records("train"), 0.5, seed)
        numbers = SceneShare(0.5, by_place=False, seed=seed).source(dataset).numbers
        np.testing.assert_array_equal(numbers, np.sort(scenes))  # a record each
        assert len(numbers) == 12


def test_predictors_that_need_no_learning_are_fitted_on_that_share(program, tmp_path):
    found = []
    for share in (0.1, 1.0):
        workdir = tmp_path / str(share)
        program("--mode=baselines", f"--config.train.scene_share={share}", workdir=workdir)
        (path,) = (workdir / "report").glob("baselines*.json")
        found.append(json.loads(path.read_text())["scores"])
    assert found[0] != found[1]


@pytest.mark.parametrize("by_place", [False, True])
def test_predictors_that_need_no_learning_are_fitted_on_the_scenes_of_the_run(
    by_place, config, tmp_path, monkeypatch
):
    shares = []
    monkeypatch.setattr(
        baselines, "SceneShare", lambda *args: shares.append(args) or SceneShare(*args)
    )
    config.train.update(scene_share=0.5, share_by_place=by_place)
    baselines.baselines(config, tmp_path)
    assert shares == [(0.5, by_place, config.seed)]


@pytest.mark.parametrize("share", [0.0, -0.5, 1.01])
def test_a_share_that_cannot_be_is_refused(share, config):
    config.train.scene_share = share
    with pytest.raises(UserError, match=f"scene_share is {share:g}; expected more than 0"):
        create_experiment(config)


def test_pixels_of_other_scenes_do_not_weigh_classes(config):
    config.train.update(scene_share=0.5, class_weights_from="data")
    with pytest.raises(UserError, match=r"scene_share is 0\.5.*class_weights_from=config"):
        create_experiment(config)


def test_a_run_says_which_share_it_reads_and_keeps_it(program):
    done = program("--config.train.num_steps=2", "--config.train.scene_share=0.25")
    assert "train.scene_share=0.25: 6 of 24 scenes, 6 tiles, drawn with seed 0" in done.stdout
    options = ("--config.train.num_steps=4", "--config.train.scene_share=0.5")
    assert "train.scene_share" in program(*options, expect=2).stderr
