"""The scores of a study as tables."""

import csv
import io

import numpy as np
import pytest

from noise2map_jax import study_tables
from noise2map_jax.comparison import compare
from noise2map_jax.result_rows import read_table
from noise2map_jax.variant_scores import VariantScores

SCENES = [f"scene{i}" for i in range(6)]


def scores(name, *f1, seeds=None):
    """A variant whose F1 is the same on every scene: of 100 pixels, 50 of them foreground."""
    matrices = []
    for value in f1:
        hits = round(50 * value)
        matrices.append([[[hits, 50 - hits], [50 - hits, hits]]] * len(SCENES))
    counts = np.array(matrices, np.int64).reshape(len(f1), len(SCENES), 2, 2)
    return VariantScores(name, seeds or tuple(range(len(f1))), counts)


@pytest.fixture
def comparison():
    return compare(
        [scores("paper", 0.5, 0.54), scores("a_b & 50 % | c", 0.6, 0.64), scores("blown")],
        SCENES,
        "paper",
        num_resamples=50,
    )


def test_csv_holds_every_number_in_percent(comparison):
    rows = list(
        csv.DictReader(io.StringIO(study_tables.to_csv(comparison, "ss mine", "test of mine")))
    )
    assert [row["method"] for row in rows] == ["paper", "a_b & 50 % | c"]  # no row without a score
    assert float(rows[0]["f1"]) == pytest.approx(52)
    assert float(rows[0]["f1_std"]) == pytest.approx(2 * 2**0.5, rel=1e-5)
    assert rows[0]["difference"] == rows[0]["verdict"] == ""
    assert float(rows[1]["difference"]) == pytest.approx(10)
    assert rows[1]["seeds"] == "0 1"
    assert float(rows[1]["effect_size"]) == 1.0
    assert rows[1]["pairs"] == "12"
    assert "better than paper by 10.0 points" in rows[1]["verdict"]


def test_csv_is_what_rank_reads(comparison, tmp_path):
    path = tmp_path / "results.csv"
    path.write_text(study_tables.to_csv(comparison, "ss mine", "test of mine"))
    rows = read_table(path)
    assert [(row.method, row.dataset) for row in rows] == [
        ("paper", "ss mine"),
        ("a_b & 50 % | c", "ss mine"),
    ]
    assert rows[1].f1 == pytest.approx(62)
    assert rows[1].iou == pytest.approx(100 * np.mean([0.6 / 1.4, 0.64 / 1.36]), rel=1e-5)


def test_markdown_has_the_best_first_and_keeps_its_columns(comparison):
    lines = study_tables.to_markdown(comparison).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        r"| a_b & 50 % \| c",
        "| paper",
        "| blown",
    ]
    assert "62.00 ± 2.83" in lines[2]
    assert "+10.00" in lines[2]
    assert "| blown | 0 | failed |" in lines[4]
    assert {line.replace(r"\|", "").count("|") for line in lines} == {9}


def test_latex_escapes_what_means_something_there(comparison):
    text = study_tables.to_latex(comparison)
    assert r"a\_b \& 50 \% | c & 2 & 62.00 $\pm$ 2.83 &" in text
    assert text.count(r"\\") == 4
    assert r"F1 [\%]" in text


def test_a_single_seed_has_no_deviation():
    alone = compare([scores("paper", 0.5)], SCENES, "paper", num_resamples=10)
    assert "| paper | 1 | 50.00 |" in study_tables.to_markdown(alone)
    assert ",,," in study_tables.to_csv(alone, "ss mine", "test of mine")
