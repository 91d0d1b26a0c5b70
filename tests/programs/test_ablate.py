"""Studies by the command line: each member as if trained alone, and what is said of them."""

import csv
import functools
import json
import shutil
import signal
import time

import numpy as np
import programs
import pytest
from programs import metrics
from study_config import STEPS

from noise2map_jax.study import member_result

EXECUTIONS = {"dispatch": 1, "vmap": 1, "devices": 2}  # devices
KINDS = ["dispatch", *(pytest.param(k, marks=pytest.mark.long) for k in ("vmap", "devices"))]
MEMBERS = [f"{variant}-{seed}" for variant in ("paper", "cosine") for seed in (0, 1)]


def arguments(thin_data, workdir, *options):
    return (
        "--config=tests/helpers/study_config.py",
        "--mode=ablate",
        f"--workdir={workdir}",
        f"--config.data.data_dir={thin_data}",
        *options,
    )


@pytest.fixture(scope="module")
def studies(thin_data, cache, tmp_path_factory):
    """The same study in a way of execution: `studies(kind) -> work folder, what was printed`."""

    @functools.cache
    def study(kind):
        workdir = tmp_path_factory.mktemp(kind)
        options = arguments(thin_data, workdir, f"--config.study.execution={kind}")
        done = programs.run(options, programs.environment(cache, EXECUTIONS[kind]))
        return workdir, done.stdout

    return study


@pytest.fixture(scope="module")
def alone(thin_data, cache, tmp_path_factory):
    """One of the members, trained by `--mode=train`."""
    workdir = tmp_path_factory.mktemp("alone")
    options = (
        "--config=tests/helpers/thin_config.py",
        f"--workdir={workdir}",
        f"--config.data.data_dir={thin_data}",
        "--config.noise.schedule=squaredcos_cap_v2",
        "--config.seed=1",
        f"--config.train.num_steps={STEPS}",
        f"--config.train.eval_every_steps={STEPS // 2}",
    )
    programs.run(options, programs.environment(cache))
    return workdir


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_is_the_same_as_trained_alone(kind, studies, alone):
    member = studies(kind)[0] / "members" / "cosine-1"
    losses, expected = metrics(member), metrics(alone)
    assert list(losses) == list(expected) == list(range(1, STEPS + 1))
    np.testing.assert_allclose(list(losses.values()), list(expected.values()), rtol=1e-5)
    other = metrics(studies(kind)[0] / "members" / "paper-1")
    apart = [abs(other[step] - expected[step]) for step in expected]
    assert max(apart) > 1e-3  # the same network on other inputs
    f1, f1_alone = (metrics(folder, "val/f1/foreground") for folder in (member, alone))
    assert list(f1) == list(f1_alone) == [STEPS // 2, STEPS]
    np.testing.assert_allclose(list(f1.values()), list(f1_alone.values()), atol=2e-3)
    before, after = (json.loads((f / "config.json").read_text()) for f in (member, alone))
    assert before == after


def test_one_call_a_member_changes_not_one_bit(studies, alone):
    assert metrics(studies("dispatch")[0] / "members" / "cosine-1") == metrics(alone)


@pytest.mark.parametrize("kind", KINDS)
def test_the_results_do_not_depend_on_how_members_are_executed(kind, studies):
    for name in MEMBERS:
        one, other = (
            member_result.load(studies(k)[0] / "members" / name, "val") for k in ("dispatch", kind)
        )
        assert one.step == other.step
        np.testing.assert_array_equal(one.timesteps, [0, 500, 999])
        pixels = one.confusions.sum()
        assert np.abs(one.confusions - other.confusions).sum() < 0.02 * pixels
        # At the timestep of prediction the sweep is what training measured on validation.
        counts = one.sweep[-1]
        f1 = 2 * counts[1, 1] / (2 * counts[1, 1] + counts[0, 1] + counts[1, 0])
        logged = metrics(studies("dispatch")[0] / "members" / name, "val/f1/foreground")
        assert f1 == pytest.approx(logged[one.step], rel=1e-6)


def test_processes_share_a_study(studies, thin_data, cache, tmp_path):
    expected, _ = studies("dispatch")
    options = arguments(thin_data, tmp_path, "--config.study.execution=dispatch")
    environment = programs.environment(cache)
    processes = [programs.start(options, environment) for _ in range(2)]
    printed = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], printed
    trained = [
        [line.split(maxsplit=1)[1] for line in out.splitlines() if line.startswith("training ")]
        for out, _ in printed
    ]
    assert all(trained)  # both had something to do
    names = [name for own in trained for name in own]
    assert sorted(names) == sorted(set(names))
    assert len(names) == len(MEMBERS)
    one, other = ((f / "report" / "results.csv").read_text() for f in (tmp_path, expected))
    assert one == other


def test_the_report_says_what_was_found(studies):
    workdir, printed = studies("dispatch")
    rows = list(csv.DictReader((workdir / "report" / "results.csv").read_text().splitlines()))
    assert [row["method"] for row in rows] == ["paper", "cosine"]
    assert {row["dataset"] for row in rows} == {"ss thin_ss"}
    counts = [member_result.load(workdir / "members" / n, "val").confusions for n in MEMBERS[:2]]
    f1 = [2 * c[1, 1] / (2 * c[1, 1] + c[0, 1] + c[1, 0]) for c in (c.sum(axis=0) for c in counts)]
    assert float(rows[0]["f1"]) == pytest.approx(100 * np.mean(f1), rel=1e-5)
    assert float(rows[0]["f1_std"]) == pytest.approx(100 * np.std(f1, ddof=1), rel=1e-4)
    assert rows[1]["verdict"] in printed
    markdown = (workdir / "report" / "results.md").read_text()
    assert markdown in printed
    assert r"\toprule" in (workdir / "report" / "results.tex").read_text()
    page = (workdir / "report" / "index.html").read_text()
    assert {row["split"] for row in rows} == {"val"}
    assert "best of up to 2 evaluations on the same split" in page
    assert "The test split has not been opened for this study" in page
    assert not list(workdir.glob("members/*/result_test.npz"))
    for part in ("squaredcos_cap_v2", "the published noise process", "--mode=ablate", "val/scene"):
        assert part in page


def test_a_study_is_ranked_beside_others(studies, tmp_path):
    from noise2map_jax import rank

    folder, output = str(studies("dispatch")[0]), f"--output={tmp_path / 'rank.csv'}"
    assert rank.main([folder, output]) == 2  # test has not been opened
    assert rank.main([folder, "--split=val", output]) == 0
    assert "cosine" in (tmp_path / "rank.csv").read_text()


def test_test_is_opened_by_a_command_of_its_own(studies, thin_data, cache, tmp_path):
    workdir = tmp_path / "study"
    shutil.copytree(studies("dispatch")[0], workdir)
    before = (workdir / "report" / "results.csv").read_text()
    options = arguments(thin_data, workdir)
    done = programs.run((*options, "--mode=final"), programs.environment(cache))
    assert len(lines_of(done, "paper, seed ")) == 2  # evaluated on test, and not again on val
    assert (workdir / "report" / "results.csv").read_text() == before
    rows = list(csv.DictReader((workdir / "report" / "final.csv").read_text().splitlines()))
    assert {row["split"] for row in rows} == {"test"}
    counts = member_result.load(workdir / "members" / "paper-0", "test").confusions
    assert len(counts) == int(rows[0]["tiles"]) == 11
    assert (workdir / "report" / "final.tex").is_file()
    page = (workdir / "report" / "index.html").read_text()
    assert "The test split was opened once: on " in page
    assert "of the split test" in page

    again = programs.run((*options, "--mode=final"), programs.environment(cache))
    assert not lines_of(again, "paper, seed ")
    assert len(json.loads((workdir / "test_openings.json").read_text())) == 1
    fewer = (*options, "--config.study.seeds=(0,)")
    programs.run(fewer, programs.environment(cache))
    page = (workdir / "report" / "index.html").read_text()
    assert "may depend on test scores" in page


def test_test_is_not_opened_before_all_members_are_trained(thin_data, cache, tmp_path):
    options = arguments(thin_data, tmp_path, "--mode=final")
    done = programs.run(options, programs.environment(cache), expect=2)
    assert "4 of 4 members are not trained (paper, seed 0 first)" in done.stderr
    assert not (tmp_path / "test_openings.json").exists()


def lines_of(done, start):
    return [line for line in done.stdout.splitlines() if line.startswith(start)]


def test_what_is_done_is_not_trained_again(studies, thin_data, cache, tmp_path):
    workdir = tmp_path / "study"
    shutil.copytree(studies("dispatch")[0], workdir)
    before = {n: (workdir / "members" / n / "metrics.jsonl").read_text() for n in MEMBERS}
    options = arguments(
        thin_data,
        workdir,
        "--config.study.execution=vmap",
        "--config.study.seeds=(0,1,2)",
        "--config.eval.num_pictures=3",
    )
    done = programs.run(options, programs.environment(cache))
    assert lines_of(done, "training") == ["training    paper, seed 2; cosine, seed 2"]
    assert len(lines_of(done, "paper, seed ")) == 1  # nor evaluated
    assert not list((workdir / "cohorts").iterdir())  # nothing is left of states
    after = {n: (workdir / "members" / n / "metrics.jsonl").read_text() for n in MEMBERS}
    assert before == after

    # Another question is asked of the same networks; those of another name are not touched.
    others = (*options, "--config.eval.split=test", "--config.study.num_timesteps=2")
    done = programs.run(others, programs.environment(cache))
    assert not lines_of(done, "training")
    assert len(lines_of(done, "paper, seed ")) == 3
    table = (workdir / "report" / "results.csv").read_text()
    assert "split val" in table
    assert "split test" not in table  # whatever eval.split says
    changed = "--config.study.variants=('paper','cosine: noise.schedule=sigmoid')"
    done = programs.run((*options, changed), programs.environment(cache), expect=2)
    assert "was trained with other values of noise.schedule" in done.stderr


@pytest.mark.long
def test_a_killed_study_goes_on_as_if_it_had_not_been(studies, thin_data, cache, tmp_path):
    options = arguments(
        thin_data,
        tmp_path,
        "--config.study.execution=vmap",
        "--config.train.checkpoint_every_steps=3",
    )
    process = programs.start(options, programs.environment(cache))
    last = tmp_path / "members" / "cosine-1" / "metrics.jsonl"
    deadline = time.monotonic() + 300
    while not (last.is_file() and '"step": 7,' in last.read_text()):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    programs.run(options, programs.environment(cache))
    for name in MEMBERS:
        old, new = (folder / "members" / name for folder in (studies("vmap")[0], tmp_path))
        assert metrics(old) == metrics(new)
        one, other = member_result.load(old, "val"), member_result.load(new, "val")
        np.testing.assert_array_equal(one.confusions, other.confusions)
        np.testing.assert_array_equal(one.sweep, other.sweep)


def test_a_member_that_turns_nan_is_marked_and_the_others_go_on(thin_data, cache, tmp_path):
    options = arguments(
        thin_data,
        tmp_path,
        "--config.study.variants=('blown: train.learning_rate=1e30','paper')",
        "--config.study.seeds=(0,)",
        "--config.train.num_steps=4",
    )
    done = programs.run(options, programs.environment(cache))
    assert "blown, seed 0 failed: step " in done.stdout
    assert "| blown | 0 | failed |" in done.stdout
    assert "The data cannot show whether blown and paper differ: no seed finished" in done.stdout
    page = (tmp_path / "report" / "index.html").read_text()
    assert "blown, seed 0 failed and is left out: step" in page
    rows = list(csv.DictReader((tmp_path / "report" / "results.csv").read_text().splitlines()))
    assert [row["method"] for row in rows] == ["paper"]
    again = programs.run(
        (*options, "--config.study.reference=blown"), programs.environment(cache), expect=2
    )
    assert "no seed of the reference 'blown' finished" in again.stderr
    assert "training " not in again.stdout  # what failed once fails again
