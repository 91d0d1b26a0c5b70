"""Splits without foreground or without pixels that count, and runs without validation."""

import json

import numpy as np
import programs
import pytest
from folder_builds import picture, save

from data_prep.__main__ import main as data_prep
from noise2map_jax import rank


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def strict(folder):
    """Parse all JSON below a folder as strictly as other programs do, and count the files."""
    files = [*folder.rglob("*.json"), *folder.rglob("*.jsonl")]
    for path in files:
        lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        for line in lines:
            json.loads(line, parse_constant=refuse)
    return len(files)


def mask(kind, i):
    values = np.zeros((32, 32), np.uint8)
    if kind == "ignored":
        return np.full((32, 32), 255, np.uint8)
    if kind == "foreground":
        values[4 : 12 + i, 5:20] = 1
        values[20:] = 255
    return values


def dataset(folder, **kinds):
    """Build `mine`, with scenes of a kind of mask in each split."""
    for split, kind in kinds.items():
        for i in range(8):
            seed = 100 * sorted(kinds).index(split) + i
            save(folder / f"mine/{split}/images/{i}.png", picture(seed, 32, 32))
            save(folder / f"mine/{split}/masks/{i}.png", mask(kind, i))
    arguments = (f"--source={folder / 'mine'}", f"--data_dir={folder / 'data'}", "--tile_size=32")
    assert data_prep(["folder", *arguments, "--mask_encoding=index"]) == 0


def options(folder, *more):
    return (
        "--config=tests/helpers/thin_config.py",
        f"--workdir={folder / 'run'}",
        f"--config.data.data_dir={folder / 'data'}",
        "--config.data.dataset=mine",
        "--config.train.num_steps=4",
        "--config.train.eval_every_steps=2",
        "--config.eval.num_pictures=1",
        *more,
    )


def test_without_foreground_the_lowest_loss_chooses_and_scores_are_not_defined(
    cache, tmp_path, capsys
):
    dataset(tmp_path, train="foreground", val="background", test="background")
    env = programs.environment(cache)
    done = programs.run(options(tmp_path, "--config.train.write_report=True"), env)
    assert "warning     val of mine holds no foreground (0 of 8,192 pixels)\n" in done.stdout
    assert "foreground F1 n/a, loss " in done.stdout
    assert "F1 is not defined: the parameters of the lowest validation loss are kept" in done.stdout
    assert "0.00 %" not in done.stdout + done.stderr
    losses = programs.metrics(tmp_path / "run", "val/loss")
    best = min(losses, key=losses.get)
    assert f"best step {best}: foreground F1 n/a" in done.stdout
    assert set(programs.metrics(tmp_path / "run", "val/f1/foreground").values()) == {None}
    page = (tmp_path / "run/report/index.html").read_text()
    assert "foreground F1 n/a" in page
    assert "the lowest validation loss chose the best parameters" in page

    done = programs.run(options(tmp_path, "--mode=eval"), env)
    assert "these tiles hold no foreground: its F1 is not defined" in done.stdout
    assert "nan" not in done.stdout
    scores = json.loads((tmp_path / "run/report/scores_test.json").read_text())
    assert scores["scores"]["all tiles"]["f1/foreground"] is None
    assert scores["scores"]["all tiles"]["recall/building"] is None
    done = programs.run(options(tmp_path, "--mode=baselines"), env)
    assert "everything foreground: foreground F1 n/a, IoU n/a" in done.stdout
    assert "0.00" not in done.stdout
    assert strict(tmp_path) > 5
    capsys.readouterr()
    assert rank.main([str(tmp_path / "run")]) == 0
    told = capsys.readouterr().out
    assert "|    - | run    |     n/a |      n/a |" in told
    assert "ss mine is in no mean: F1 is not defined, as its split has no foreground" in told


def test_where_no_pixel_counts_the_last_parameters_are_kept(cache, tmp_path):
    dataset(tmp_path, train="background", val="ignored", test="foreground")
    env = programs.environment(cache)
    done = programs.run(options(tmp_path), env)
    assert "train of mine holds no foreground (0 of 8,192 pixels)" in done.stdout
    assert "val of mine holds no pixel that counts: all are ignored" in done.stdout
    assert "nothing can be measured, and the last parameters are kept" in done.stdout
    assert "best step 4: foreground F1 n/a, loss n/a" in done.stdout
    done = programs.run(options(tmp_path, "--mode=baselines"), env)
    assert "no threshold: train holds no foreground to fit it on" in done.stdout
    strict(tmp_path)


def test_a_study_neither_ranks_nor_compares_what_is_not_defined(cache, tmp_path, capsys):
    dataset(tmp_path, train="foreground", val="background", test="background")
    study = (
        "--config=tests/helpers/study_config.py",
        *options(tmp_path, "--mode=ablate", "--config.study.num_scenes=1")[1:],
        "--config.study.seeds=0,",
        "--config.study.execution=dispatch",
    )
    done = programs.run(study, programs.environment(cache))
    assert "None of the 8 tiles of val holds foreground: F1 is not defined" in done.stdout
    assert "| paper | 1 | n/a | n/a: " in done.stdout
    assert done.stdout.count("the parameters of the lowest validation loss are kept") == 1
    for words in ("nan", "0.00", "failed"):
        assert words not in done.stdout
    page = (tmp_path / "run/report/index.html").read_text()
    assert "variants are neither ranked nor compared" in page
    capsys.readouterr()
    assert rank.main([str(tmp_path / "run"), "--split=val"]) == 0
    assert "|    - | paper  |     n/a |      n/a |" in capsys.readouterr().out
    assert strict(tmp_path) > 5


def test_training_without_validation_is_possible_when_asked_for(cache, tmp_path):
    scenes = ("--task=ss", "--num_scenes=8,0,4", "--scene_size=32", "--tile_size=32")
    programs.data_prep("synthetic", "--name=mine", f"--data_dir={tmp_path / 'data'}", *scenes)
    env = programs.environment(cache)
    done = programs.run(options(tmp_path), env, expect=2)
    assert "has no 'val' split; it has train, test. Build one with --splits" in done.stderr
    alone = options(tmp_path, "--config.train.validate=False")
    done = programs.run(alone, env)
    assert "; not validated" in done.stdout
    assert "the parameters of step 4 are kept; nothing was validated" in done.stdout
    assert not programs.metrics(tmp_path / "run", "val/loss")
    done = programs.run((*alone, "--mode=eval"), env)
    assert "checkpoint of step 4" in done.stdout
    study = ("--config=tests/helpers/study_config.py", *alone[1:], "--mode=ablate")
    done = programs.run(study, env, expect=2)
    assert "train.validate=False cannot be" in done.stderr


@pytest.mark.parametrize("flag", ["--help", "--helpfull"])
def test_help_is_no_mistake(cache, flag):
    done = programs.run((flag,), programs.environment(cache))
    assert "--config" in done.stdout
