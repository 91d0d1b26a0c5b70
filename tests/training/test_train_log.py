"""The clock of the log, with devices whose steps take a second each."""

import numpy as np
import pytest

from noise2map_jax.training import step_clock, train_log
from noise2map_jax.training.train_log import TrainLog

SPEED = "train/images_per_second"


class Device:
    """Does a step in a second: while it is told to, or afterwards while the host goes on."""

    def __init__(self, at_once):
        self.now, self.free_at, self._at_once = 0.0, 0.0, at_once

    def monotonic(self):
        return self.now

    def step(self):
        self.free_at = max(self.free_at, self.now) + 1
        if self._at_once:
            self.now = self.free_at
        return {"loss": Result(self, self.free_at)}


class Result:
    def __init__(self, device, ready_at):
        self._device, self._ready_at = device, ready_at

    def __array__(self, dtype=None, copy=None):
        self._device.now = max(self._device.now, self._ready_at)
        return np.float32(1)


class Writer:
    def __init__(self):
        self.rows = {}

    def write_scalars(self, step, scalars):
        self.rows[step] = scalars


@pytest.fixture(params=[True, False], ids=["at once", "afterwards"])
def device(request, monkeypatch):
    made = Device(request.param)
    for module in (train_log, step_clock):
        monkeypatch.setattr(module, "time", made)
    return made


def train(device, num_steps, every, evaluate_at=()):
    writer = Writer()
    log = TrainLog(writer, lambda step: 0.1, 8, every, last_step=num_steps)
    for step in range(num_steps):
        if step in evaluate_at:
            log.pull()
            device.now += 100
            log.restart_clock()
        log.push(step + 1, device.step())
    log.pull()
    return {step: row.get(SPEED) for step, row in writer.rows.items()}


@pytest.mark.parametrize("every", [1, 2, 3])
def test_speed_is_that_of_the_steps(device, every):
    found = train(device, 13, every)
    assert all(speed == 8 for speed in found.values() if speed is not None)
    assert sum(speed is not None for speed in found.values()) >= 13 // every - 2


def test_a_single_step_at_the_end_is_not_taken_for_one_without_duration(device):
    found = train(device, 11, 10)
    assert found == {10: 8, 11: None}


@pytest.mark.parametrize("evaluate_at", [(5,), (5, 6), (4, 7, 10)])
def test_what_is_not_training_takes_no_part(device, evaluate_at):
    found = train(device, 12, 3, evaluate_at)
    assert all(speed in (8, None) for speed in found.values())
    assert 8 in found.values()


def test_waiting_for_data_is_a_share_of_the_time(device):
    writer = Writer()
    log = TrainLog(writer, lambda step: 0.1, 8, 4, last_step=8)
    for step in range(8):
        device.now = max(device.now, device.free_at) + 3  # the batch comes late
        log.push(step + 1, device.step(), waited=3.0)
    log.pull()
    assert writer.rows[8][SPEED] == 8 / 4
    assert writer.rows[8]["train/waiting_for_data"] == 3 / 4
