import itertools
import json
import os
import subprocess
import sys

import programs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs import default
from noise2map_jax import rank
from noise2map_jax.experiment.run_config import save_config
from noise2map_jax.rank import rank_methods
from noise2map_jax.study import result_rows
from noise2map_jax.study.result_row import ResultRow


def scores(f1, ious, protocol="records", **more):
    """What evaluation writes, as far as it is read here; fractions of 1."""
    named = {"f1/foreground": f1, "iou/mean": 0.99, "iou/background": 0.98}
    named |= {f"iou/{name}": iou for name, iou in ious.items()}
    found = {"protocol": protocol, "step": 1, "scores": {"all tiles": {"tiles": 3, **named}}}
    found |= {"records": "0a", "inference_timesteps": [999], "num_noise_draws": 0}
    return found | more


def write_run(folder, f1=0.8, iou=0.6, *, task="ss", dataset="whu", split="test", **changes):
    config = default.get_config()
    config.task, config.data.dataset = task, dataset
    save_config(config, folder)
    (folder / "report").mkdir(exist_ok=True)
    content = scores(f1, {"building": iou}, **changes)
    (folder / "report" / f"scores_{split}.json").write_text(json.dumps(content))
    return folder


def write_table(path, *lines, header="method,dataset,f1,iou"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def call(capsys, *arguments, expect=0):
    code = rank.main(list(map(str, arguments)))
    captured = capsys.readouterr()
    assert code == expect, captured.err
    return captured.out.splitlines() if expect == 0 else captured.err


def test_ranking_of_a_hand_computed_case():
    rows = [
        ResultRow("a", "ss x", 80, 70),
        ResultRow("a", "ss y", 60.004, 50),  # mean F1 70.002: equal to two decimals
        ResultRow("b", "ss x", 90, 85),
        ResultRow("b", "ss y", 50, 35.2),
        ResultRow("c", "ss x", 70, 60),
        ResultRow("c", "ss x", 74, 62),  # of another seed
        ResultRow("c", "ss y", 80, 70),
        ResultRow("d", "ss x", 99, 99),
    ]
    found = rank_methods(rows)
    assert [(m.name, m.rank) for m in found] == [("c", 1), ("b", 2), ("a", 3), ("d", None)]
    assert [m.f1 for m in found] == pytest.approx([76, 70, 70.002, None])
    assert [m.iou for m in found] == pytest.approx([65.5, 60.1, 60, None])
    assert found[0].f1_by_dataset == {"ss x": 72, "ss y": 80}
    assert found[0].runs_by_dataset == {"ss x": 2, "ss y": 1}


def test_methods_that_are_equal_share_a_rank():
    rows = [ResultRow(name, "ss x", f1, 40) for name, f1 in (("a", 50), ("b", 60), ("c", 60))]
    found = rank_methods([*rows, ResultRow("d", "ss x", 40, 30)])
    assert [(m.name, m.rank) for m in found] == [("b", 1), ("c", 1), ("a", 3), ("d", 4)]


PERCENT = st.floats(0, 100)
ROWS = st.lists(
    st.builds(ResultRow, st.sampled_from("abcd"), st.sampled_from("xyz"), PERCENT, PERCENT),
    min_size=1,
    max_size=15,
)


@settings(max_examples=50, deadline=None)
@given(ROWS)
def test_every_method_comes_once_and_no_mean_is_over_fewer_datasets(rows):
    found = rank_methods(rows)
    assert sorted(m.name for m in found) == sorted({row.method for row in rows})
    num_datasets = len({row.dataset for row in rows})
    for method in found:
        assert (method.rank is None) == (len(method.f1_by_dataset) < num_datasets)
        assert (method.rank is None) == (method.f1 is None)
    ranked = [m for m in found if m.rank]
    assert ranked == found[: len(ranked)]
    assert all(a.rank <= b.rank and a.f1 >= b.f1 - 0.01 for a, b in itertools.pairwise(ranked))


@settings(max_examples=30, deadline=None)
@given(ROWS.flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows))))
def test_the_order_of_rows_does_not_matter(orders):
    one, other = (rank.table(rank_methods(rows)) for rows in orders)
    assert [row[:2] for row in one] == [row[:2] for row in other]


def test_runs_studies_and_tables_are_ranked_together(tmp_path, capsys):
    write_run(tmp_path / "runs" / "paper", 0.8, 0.65)
    write_run(tmp_path / "cd", 0.5, 0.3, task="cd")
    write_table(
        tmp_path / "study" / "report" / "results.csv",
        "wrong,ss whu,1,1,val",
        header="method,dataset,f1,iou,split",
    )
    write_table(
        tmp_path / "study" / "report" / "final.csv",
        "clean,ss whu,75,62,test,whatever",
        "clean,cd whu,65.5,48,test,",
        header="method,dataset,f1,iou,split,seeds",
    )
    table = write_table(tmp_path / "published.csv", "other,ss whu,91.234,80")
    output = tmp_path / "new" / "rank.csv"
    arguments = (tmp_path / "runs" / "paper", f"paper={tmp_path / 'cd'}", tmp_path / "study", table)
    assert call(capsys, *arguments, f"--output={output}") == [
        "| rank | method | mean F1 | mean IoU | F1 cd whu | F1 ss whu |",
        "| ---: | ------ | ------: | -------: | --------: | --------: |",
        "|    1 | clean  |   70.25 |    55.00 |     65.50 |     75.00 |",
        "|    2 | paper  |   65.00 |    47.50 |     50.00 |     80.00 |",
        "|    - | other  |       - |        - |         - |     91.23 |",
        "other is not ranked: it lacks cd whu",
    ]
    assert output.read_text().splitlines() == [
        "rank,method,mean F1,mean IoU,F1 cd whu,F1 ss whu",
        "1,clean,70.25,55.00,65.50,75.00",
        "2,paper,65.00,47.50,50.00,80.00",
        ",other,,,,91.23",
    ]


def test_splits_are_not_mixed(tmp_path, capsys):
    header = "method,dataset,f1,iou,split"
    table = write_table(tmp_path / "s/report/results.csv", "a,ss x,70,60,val", header=header)
    error = call(capsys, tmp_path / "s", expect=2)
    assert "s has no scores on test: studies compare on val (--split=val), and --mode=" in error
    assert "70.00" in call(capsys, tmp_path / "s", "--split=val")[2]
    write_table(tmp_path / "s/report/final.csv", "a,ss x,65,55,test", header=header)
    assert "65.00" in call(capsys, tmp_path / "s")[2]
    assert "the scores are on val, not on test; see --split" in call(capsys, table, expect=2)
    write_table(table, "a,ss x,70,60", header="method,dataset,f1,iou")
    error = call(capsys, tmp_path / "s", "--split=val", expect=2)
    assert "an earlier version wrote it; run the study again with --mode=ablate" in error


def test_seeds_of_a_method_are_averaged_and_it_is_said(tmp_path, capsys):
    folders = [write_run(tmp_path / f"seed{i}", 0.5 + 0.1 * i) for i in range(3)]
    lines = call(capsys, *(f"a|b={folder}" for folder in folders))
    assert "a\\|b" in lines[2]
    assert "60.00" in lines[2]
    assert lines[3:] == ["a|b: mean over several runs: ss whu of 3"]


def test_a_run_of_several_tasks_has_a_dataset_for_each(tmp_path, capsys):
    ss, cd = default.get_config(), default.get_config()
    ss.data.dataset, cd.data.dataset, cd.data.classes = "x", "y", ("same", "new", "lost")
    save_config(default.multitask(default.get_config(), {"ss": ss, "cd": cd}), tmp_path / "both")
    (tmp_path / "both" / "report").mkdir()
    content = {
        "ss": scores(0.8, {"building": 0.6}),
        "cd": scores(0.5, {"new": 0.3, "lost": 0.5}),
    }
    for task, value in content.items():
        path = tmp_path / "both" / "report" / f"scores_val_{task}.json"
        path.write_text(json.dumps(value))
    lines = call(capsys, tmp_path / "both", "--split=val")
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells == ["1", "both", "65.00", "50.00", "50.00", "80.00"]
    path.unlink()
    assert "scores_val_cd.json is missing" in call(
        capsys, tmp_path / "both", "--split=val", expect=2
    )


def test_classes_that_are_nowhere_are_left_out(tmp_path, capsys):
    folder = write_run(tmp_path / "run", 0.8, 0.6)
    config = default.get_config()
    config.data.dataset, config.data.classes = "whu", ("background", "building", "road")
    save_config(config, folder)
    content = scores(0.8, {"building": 0.6, "road": float("nan")})
    (folder / "report" / "scores_test.json").write_text(json.dumps(content))
    assert "|   80.00 |    60.00 |" in call(capsys, folder)[2]


@pytest.mark.parametrize("undefined", [float("nan"), None])  # NaN: of an earlier version
def test_what_is_not_defined_comes_last_and_in_no_mean(tmp_path, capsys, undefined):
    write_run(tmp_path / "a", undefined, undefined)
    write_run(tmp_path / "b", 0.7, 0.5)
    lines = call(capsys, tmp_path / "a", tmp_path / "b")
    assert lines[2].startswith("|    1 | b ")
    assert lines[3].startswith("|    - | a      |     n/a |      n/a |")
    assert lines[4:] == ["a is not ranked: its F1 is not defined on ss whu"]


def test_a_dataset_without_foreground_ranks_nobody(tmp_path, capsys):
    rows = "a,ss x,80,70", "a,ss y,n/a,n/a", "b,ss x,90,85", "b,ss y,n/a,n/a"
    lines = call(capsys, write_table(tmp_path / "t.csv", *rows))
    assert lines[2].startswith("|    1 | b      |   90.00 |    85.00 |   90.00 |     n/a |")
    assert lines[3].startswith("|    2 | a ")
    assert lines[4:] == ["ss y is in no mean: F1 is not defined, as its split has no foreground"]


def test_fractions_are_noticed(tmp_path, capsys):
    table = write_table(tmp_path / "t.csv", "a,ss x,0.9,0.8", "b,ss x,90,80")
    assert call(capsys, table)[4:] == ["a: no F1 is above 1 %; are these fractions, not percent?"]


def test_published_fractions_are_noticed(tmp_path, capsys):
    ours = write_table(tmp_path / "t.csv", "b,ss x,90,80")
    theirs = write_table(tmp_path / "p.csv", "c,ss x,0.9,,all,paper,yes", header=PUBLISHED)
    fractions = "c: no F1 is above 1 %; are these fractions, not percent?"
    assert fractions in call(capsys, ours, theirs)


def test_a_table_of_a_spreadsheet_is_read(tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_bytes("\ufeffiou, f1, dataset, method\r\n80, 90, ss x, ours\r\n".encode())
    assert "| ours   |   90.00 |    80.00 |" in call(capsys, path)[2]


@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        (["a,ss x,90"], "method,dataset,f1", "lacks the column iou; its header has method, "),
        ([], "", "lacks the column method, dataset, f1, iou; its header has nothing"),
        ([], "method,dataset,f1,iou", "has a header but no rows"),
        (["a,b,ss x,3,4"], "method,method,dataset,f1,iou", "has the column method twice"),
        (["a,ss x,90,80", "a,ss y,good,80"], None, "line 3: f1 is 'good'; expected a number"),
        (["a,ss x,90"], None, "line 2: iou is ''; expected a number"),
        (["a,ss x,nan,80"], None, "line 2: f1 is 'nan'; expected a number"),
        (["a,ss x,101,80"], None, "line 2: f1 is 101; expected 0 to 100 percent"),
        (["a,ss x,90,-1"], None, "line 2: iou is -1; expected 0 to 100 percent"),
        (["a,ss x,inf,80"], None, "line 2: f1 is inf; expected 0 to 100 percent"),
        ([",ss x,90,80"], None, "line 2: method is empty"),
        (["a,,90,80"], None, "line 2: dataset is empty"),
    ],
)
def test_mistakes_in_a_table_are_named(lines, header, message, tmp_path, capsys):
    path = write_table(
        tmp_path / "t.csv", *lines, header="method,dataset,f1,iou" if header is None else header
    )
    error = call(capsys, path, expect=2)
    assert error.startswith(f"error: {path}")
    assert message in error
    assert error.count("\n") == 1


def test_files_that_are_no_tables_are_named(tmp_path, capsys):
    path = tmp_path / "t.csv"
    assert "No such file" in call(capsys, path, expect=2)
    path.write_bytes(b"method,dataset,f1,iou\n\xff\xfe")
    assert "no CSV table in UTF-8" in call(capsys, path, expect=2)
    assert "does not exist" in call(capsys, tmp_path / "nowhere", expect=2)
    assert "is neither a run" in call(capsys, tmp_path, expect=2)


def test_mistakes_in_a_run_are_named(tmp_path, capsys):
    folder = write_run(tmp_path / "run")
    assert "--mode=eval --config.eval.split=val" in call(capsys, folder, "--split=val", expect=2)
    path = folder / "report" / "scores_test.json"
    for content in ("{", "[]", '{"scores": {}}', json.dumps(scores("?", {})), "null"):
        path.write_text(content)
        assert f"{path} holds no scores" in call(capsys, folder, expect=2)
    (folder / "config.json").write_text('{"format": 2}')
    assert "config.json is not the config of a run" in call(capsys, folder, expect=2)
    (folder / "config.json").write_text('{"format": 5, "task": "ss", "datasets": []}')
    assert "config.json is damaged" in call(capsys, folder, expect=2)
    (folder / "config.json").write_text("{")
    assert "is not JSON" in call(capsys, folder, expect=2)


def test_a_run_that_denoises_has_no_rank(tmp_path, capsys):
    folder = write_run(tmp_path / "run", task="denoise")
    assert "task denoise, which has no F1" in call(capsys, folder, expect=2)


def test_sources_that_cannot_be_meant_are_named(tmp_path, capsys):
    folder = write_run(tmp_path / "run")
    assert "is the same as" in call(capsys, folder, f"a={folder}", expect=2)
    table = write_table(tmp_path / "t.csv", "a,ss x,90,80")
    assert "leave out b=" in call(capsys, f"b={table}", expect=2)
    assert "expected METHOD=FOLDER" in call(capsys, f"={folder}", expect=2)
    other = write_run(tmp_path / "other", protocol="other records")
    error = call(capsys, folder, other, expect=2)
    assert "run and other were not scored on the same ss whu: 'records' and 'other" in error


def test_scores_of_before_more_training_are_refused(tmp_path, capsys):
    folder = write_run(tmp_path / "run")
    for step in (1, 20):
        (folder / "checkpoints" / "best" / str(step)).mkdir(parents=True)
        if step == 1:
            call(capsys, folder)
    error = call(capsys, folder, expect=2)
    assert "scores_test.json has scores of step 1, but the best checkpoint of" in error
    assert "is now of step 20; evaluate the run again: python -m" in error


@pytest.mark.parametrize("lacking", ["records", "inference_timesteps", "num_noise_draws"])
def test_scores_of_an_earlier_version_are_refused(tmp_path, capsys, lacking):
    path = write_run(tmp_path / "run") / "report" / "scores_test.json"
    content = json.loads(path.read_text())
    del content[lacking]
    path.write_text(json.dumps(content))
    error = call(capsys, tmp_path / "run", expect=2)
    assert "an earlier version wrote it; evaluate the run again: python -m" in error


def test_scores_are_of_the_dataset_that_was_evaluated(tmp_path, capsys):
    folder = write_run(tmp_path / "run", dataset="whu")
    path = folder / "report" / "scores_test.json"
    content = json.loads(path.read_text())
    changed = {"data.dataset": ["whu", "levir"]}
    path.write_text(json.dumps(content | {"dataset": "levir", "differs_from_training": changed}))
    lines = call(capsys, folder)
    assert "F1 ss levir" in lines[0]
    assert lines[-1] == "run on ss levir: the evaluation differs from training in data.dataset"


def test_what_was_predicted_otherwise_is_not_averaged(tmp_path, capsys):
    names = [f"m={tmp_path / 'a'}", f"m={tmp_path / 'b'}"]
    write_run(tmp_path / "a", inference_timesteps=[999])
    write_run(tmp_path / "b", inference_timesteps=[500])
    error = call(capsys, *names, expect=2)
    assert "runs of m predicted ss whu with t = 999 and 500" in error
    call(capsys, *(name.removeprefix("m=") for name in names))  # methods may differ in it
    for name, draws in ("a", 0), ("b", 4):
        write_run(tmp_path / name, inference_timesteps=[999], num_noise_draws=draws)
    assert "with draws of noise: 0 and 4, so they cannot be" in call(capsys, *names, expect=2)
    write_run(tmp_path / "b", inference_timesteps=[999])
    write_run(tmp_path / "a", inference_timesteps=[999])
    assert "m: mean over several runs: ss whu of 2" in call(capsys, *names)


def test_scores_on_a_dataset_before_and_after_it_was_built_anew_are_refused(tmp_path, capsys):
    write_run(tmp_path / "a", records="0a")
    write_run(tmp_path / "b", records="0b")
    error = call(capsys, tmp_path / "a", tmp_path / "b", expect=2)
    assert "a and b were not scored on the same ss whu: the dataset was built anew" in error
    write_run(tmp_path / "b")  # by an earlier version, which does not say
    call(capsys, tmp_path / "a", tmp_path / "b")


def test_a_folder_may_hold_an_equals_sign(tmp_path, capsys):
    folder = write_run(tmp_path / "t=50")
    assert "| t=50   |" in call(capsys, folder)[2]


PUBLISHED = "method,dataset,f1,iou,protocol,source,published"


def test_published_scores_stand_below_without_a_rank(tmp_path, capsys):
    ours = write_table(tmp_path / "ours.csv", "a,cd whu,80,70", "b,cd whu,70,60")
    others = write_table(
        tmp_path / "others.csv",
        "a,cd whu,99,,random tiles,a paper,yes",
        "c,cd whu,75,60,random tiles,a paper,yes",
        "c,cd whu,65.5,,official split,another paper,yes",
        "c,cd levir,91,,all,a paper,yes",
        "d,cd whu,60,50,,,no",  # measured by us, and ranked
        header=PUBLISHED,
    )
    lines = call(capsys, ours, others, f"--output={tmp_path / 'rank.csv'}", "--split=val")
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:8]]
    assert cells == [
        ["1", "a", "80.00", "70.00", "80.00"],
        ["2", "b", "70.00", "60.00", "70.00"],
        ["3", "d", "60.00", "50.00", "60.00"],
        ["published", "a [1]", "-", "-", "99.00"],
        ["published", "c [1]", "-", "-", "75.00"],
        ["published", "c [2]", "-", "-", "65.50"],
    ]
    assert lines[8:] == [
        "[1] published, not measured here: random tiles (a paper)",
        "[2] published, not measured here: official split (another paper)",
        "published scores on cd levir are not shown: nothing is ranked there",
    ]
    written = (tmp_path / "rank.csv").read_text().splitlines()
    assert written[0] == "rank,method,mean F1,mean IoU,F1 cd whu,protocol,source"
    assert written[1] == "1,a,80.00,70.00,80.00,,"
    assert written[6] == "published,c,,,65.50,official split,another paper"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("c,cd whu,90,,,paper,yes", "line 2: protocol is empty; published scores need one"),
        ("c,cd whu,90,,all,,yes", "line 2: source is empty; published scores need one"),
        ("c,cd whu,90,,all,paper,maybe", "line 2: published is 'maybe'; expected yes or no"),
        ("c,cd whu,90,,all,paper,no", "line 2: iou is ''; expected a number"),
        ("c,cd whu,,,all,paper,yes", "line 2: f1 is ''; expected a number"),
        ("c,cd whu,90,,all,paper,yes\nc,cd whu,91,,all,paper,yes", "c has two published scores"),
    ],
)
def test_mistakes_in_published_scores_are_named(line, message, tmp_path, capsys):
    ours = write_table(tmp_path / "ours.csv", "a,cd whu,80,70")
    others = write_table(tmp_path / "others.csv", line, header=PUBLISHED)
    error = call(capsys, ours, others, expect=2)
    assert message in error
    assert error.count("\n") == 1


def test_published_scores_alone_are_no_ranking(tmp_path, capsys):
    table = write_table(tmp_path / "t.csv", "a,cd whu,80,,all,a paper,yes", header=PUBLISHED)
    assert "name a run or a study as well" in call(capsys, table, expect=2)


def test_the_published_scores_of_the_repository_can_be_read(tmp_path, capsys):
    ours = write_table(tmp_path / "ours.csv", "a,cd whu_cd,80,70", "a,ss whu_ss,80,70")
    lines = call(capsys, ours, programs.ROOT / "benchmarks" / "published.csv")
    assert sum(line.startswith("| published | Noise2Map") for line in lines) == 1


def test_output_that_cannot_be_written_is_named(tmp_path, capsys):
    folder = write_run(tmp_path / "run")
    error = call(capsys, folder, f"--output={folder / 'config.json' / 'rank.csv'}", expect=2)
    assert "choose another --output" in error


def test_the_program(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(programs.ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "noise2map_jax.rank"]
    for name, code in (("run", 0), ("nowhere", 2)):
        write_run(tmp_path / "run")
        done = subprocess.run(
            [*command, tmp_path / name],
            cwd=programs.ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stderr
        assert done.stdout.startswith("| rank |") == (code == 0)
        assert done.stderr.startswith("error: ") == (code == 2)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("s3://bucket/lr=3/run", ("", "s3://bucket/lr=3/run")),
        ("unet=s3://bucket/lr=3/run", ("unet", "s3://bucket/lr=3/run")),
        ("unet=runs/a", ("unet", "runs/a")),
        ("runs/a", ("", "runs/a")),
    ],
)
def test_an_address_may_contain_an_equals_sign(source, expected, monkeypatch):
    monkeypatch.setattr(result_rows, "local", str)
    assert result_rows._split_name(source) == expected
