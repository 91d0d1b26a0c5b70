import argparse
import json
import shutil

import programs
import pytest

from benchmarks import initial_share
from noise2map_jax.errors import UserError

OPTIONS = (
    "--config.init_parts=all",
    "--config.train.num_steps=4",
    "--config.train.eval_every_steps=4",
    "--config.train.ema_decay=0.9",
)


@pytest.fixture
def runs(program, tmp_path):
    """A start of 8 steps, and 4 further steps of which a quarter of the start is kept, or not."""
    start = tmp_path / "start"
    program("--config.train.num_steps=8", workdir=start)
    for name, share in (("alone", 0.0), ("mixed", 0.25)):
        further = (*OPTIONS, f"--config.init_from={start}", f"--config.train.initial_share={share}")
        program(*further, workdir=tmp_path / name)
    return tmp_path


def scores_of(folder, *names, shares=(0, 0.25, 1)):
    output = folder / "result.json"
    initial_share.run(
        argparse.Namespace(
            workdirs=[folder / name for name in names],
            shares=list(shares),
            data_dir="",
            output=str(output),
        )
    )
    return json.loads(output.read_text())


def test_mixtures_have_the_scores_that_runs_with_them_have(runs, capsys):
    result = scores_of(runs, "alone", "mixed")
    assert len(capsys.readouterr().out) > 100
    f1 = {name: programs.metrics(runs / name, "val/f1/foreground") for name in ("alone", "mixed")}
    start = programs.metrics(runs / "start", "val/f1/foreground")[8]
    assert len({f1["alone"][4], f1["mixed"][4], start}) == 3
    for row in result["runs"]:  # both runs have the same weights before they are mixed
        assert row["foreground_f1"]["0"] == pytest.approx(f1["alone"][4], rel=1e-3)
        assert row["foreground_f1"]["0.25"] == pytest.approx(f1["mixed"][4], rel=1e-3)
        assert row["foreground_f1"]["1"] == pytest.approx(start, rel=1e-3)
        assert row["random_tensors"] == 0
    assert result["mean_foreground_f1"]["1"] == pytest.approx(start, rel=1e-3)
    # What a run began with is in the run; its source may be gone, or another by now.
    shutil.move(runs / "start", runs / "gone")
    (again,) = scores_of(runs, "mixed")["runs"]
    assert again["foreground_f1"] == result["runs"][1]["foreground_f1"]
    with pytest.raises(UserError, match="start"):
        scores_of(runs, "alone")
    shutil.move(runs / "gone", runs / "start")
    with pytest.raises(UserError, match="start began with random values"):
        scores_of(runs, "start")
    with pytest.raises(UserError, match=r"--shares has 1\.5; expected numbers from 0 to 1"):
        scores_of(runs, "alone", shares=(0.5, 1.5))
