import json

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from noise2map_jax.training.writer import MetricWriter


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_scalars_reach_both_files(tmp_path):
    writer = MetricWriter(tmp_path)
    writer.write_scalars(3, {"train/loss": 0.5, "val/f1": float("nan")})
    writer.write_image(3, "predictions", np.zeros((4, 6, 3), np.uint8))
    writer.close()
    assert lines(tmp_path) == [{"step": 3, "train/loss": 0.5, "val/f1": None}]
    assert (tmp_path / "metrics.jsonl").read_text().startswith('{"step": 3')
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert events.Scalars("train/loss")[0].value == 0.5
    assert events.Images("predictions")[0].width == 6


def test_going_on_drops_what_lies_after_the_checkpoint(tmp_path):
    writer = MetricWriter(tmp_path)
    for step in (10, 20, 30):
        writer.write_scalars(step, {"loss": step})
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')  # cut off by a kill
    writer = MetricWriter(tmp_path, first_step=20)
    writer.write_scalars(30, {"loss": -1})
    writer.close()
    assert lines(tmp_path) == [
        {"step": 10, "loss": 10},
        {"step": 20, "loss": 20},
        {"step": 30, "loss": -1},
    ]
