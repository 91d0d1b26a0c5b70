"""The scores of a study as tables."""

import csv
import io
import re

import numpy as np
import pytest

from noise2map_jax.errors import UserError
from noise2map_jax.page.content import Sample
from noise2map_jax.study import tables
from noise2map_jax.study.comparison import compare
from noise2map_jax.study.result_table import read_table
from noise2map_jax.study.variant_scores import VariantScores

PLACES = [f"place{i}" for i in range(6)]
SAMPLE = Sample("val", num_tiles=6, num_scenes=8, num_places=6, places_known=True)

PREDICTED = {
    "paper": tables.Predicted([999], 0),
    "a_b & 50 % | c": tables.Predicted([900, 999], 4),
    "blown": tables.Predicted([999], 0),
}


def scores(name, *f1, seeds=None):
    """A variant of nearly the same F1 in every place, of 1000 pixels, 500 of them foreground."""
    matrices = []
    for number, value in enumerate(f1):
        hits = [
            round(500 * value) + (3 * i + number * len(name)) % 5 - 2 for i in range(len(PLACES))
        ]
        matrices.append([[[h, 500 - h], [500 - h, h]] for h in hits])
    counts = np.array(matrices, np.int64).reshape(len(f1), len(PLACES), 2, 2)
    return VariantScores(name, seeds or tuple(range(len(f1))), counts)


def compared(places=PLACES):
    return compare(
        [scores("paper", 0.5, 0.54), scores("a_b & 50 % | c", 0.6, 0.6405), scores("blown")],
        places,
        "paper",
    )


@pytest.fixture
def comparison():
    return compared()


def rows_of(comparison, sample=SAMPLE):
    text = tables.to_csv(comparison, sample, "ss mine", "val of mine", "0a", PREDICTED)
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_holds_every_number_in_percent(comparison):
    rows = rows_of(comparison)
    assert [row["method"] for row in rows] == ["paper", "a_b & 50 % | c"]  # no row without a score
    assert [row["rank"] for row in rows] == ["2", "1"]
    assert float(rows[0]["f1"]) == pytest.approx(52, abs=0.1)
    assert float(rows[0]["f1_std"]) == pytest.approx(2 * 2**0.5, rel=0.1)
    assert rows[0]["difference"] == rows[0]["verdict"] == ""
    assert rows[1]["seeds"] == "0 1"
    assert rows[1]["pairs"] == "12"
    assert float(rows[1]["effect_size"]) == 1.0
    (difference, _) = comparison.differences
    for name, value in (
        ("difference", 100 * difference.f1),
        ("difference_low", 100 * difference.interval.low),
        ("difference_high", 100 * difference.interval.high),
        ("detectable", 100 * difference.detectable),
        ("p", difference.p),
    ):
        assert float(rows[1][name]) == pytest.approx(value, rel=1e-5)
    assert rows[1]["comparisons"] == "1"
    assert [[row[name] for name in ("records", "timesteps", "draws")] for row in rows] == [
        ["0a", "999", "0"],
        ["0a", "900 999", "4"],
    ]
    assert "better than paper by 10.1 points" in rows[1]["verdict"]
    counts = [rows[1][name] for name in ("split", "tiles", "scenes", "places", "places_known")]
    assert counts == ["val", "6", "8", "6", "yes"]


def test_places_that_are_not_known_have_no_number(comparison):
    unknown = Sample("val", 6, 8, 8, places_known=False)
    row = rows_of(comparison, unknown)[0]
    assert (row["places"], row["places_known"]) == ("", "no")
    first = tables.to_markdown(comparison, unknown).splitlines()[0]
    assert first.startswith(
        "6 tiles of 8 scenes of the split val; which of them lie in one place is"
    )


def test_an_interval_over_two_places_is_refused():
    comparison = compared(["a", "b"] * 3)
    reason = "2 places, at least 3 are needed"
    row = rows_of(comparison)[1]
    assert row["f1_low"] == row["difference_low"] == row["p"] == row["detectable"] == ""
    assert row["difference"]
    assert row["verdict"].endswith(f" differ: {reason}")
    line = tables.to_markdown(comparison, SAMPLE).splitlines()[4]
    assert line.count(f"| n/a: {reason} |") == 2
    assert "+10.0" in line


def test_csv_is_what_rank_reads(comparison, tmp_path):
    path = tmp_path / "results.csv"
    path.write_text(tables.to_csv(comparison, SAMPLE, "ss mine", "val of mine", "0a", PREDICTED))
    rows = read_table(path, "val")
    assert [(row.method, row.dataset) for row in rows] == [
        ("paper", "ss mine"),
        ("a_b & 50 % | c", "ss mine"),
    ]
    assert [(row.records, row.timesteps, row.draws) for row in rows] == [
        ("0a", "999", 0),
        ("0a", "900 999", 4),
    ]
    assert rows[1].f1 == pytest.approx(62, abs=0.1)
    assert rows[1].iou == pytest.approx(100 * np.mean([0.6 / 1.4, 0.64 / 1.36]), rel=2e-3)
    with pytest.raises(UserError, match="the scores are on val, not on test; see --split"):
        read_table(path, "test")


def test_markdown_has_the_best_first_and_keeps_its_columns(comparison):
    caption, blank, *lines = tables.to_markdown(comparison, SAMPLE).splitlines()
    assert caption == "6 tiles of 8 scenes in 6 places of the split val."
    assert blank == ""
    assert [line.split(" | ")[:2] for line in lines[2:]] == [
        ["| 1", r"a_b & 50 % \| c"],
        ["| 2", "paper"],
        ["| ", "blown"],
    ]
    assert re.search(r"\| 6[12]\.\d\d ± [23]\.\d\d \| \d\d\.\d\d to \d\d", lines[2])
    assert re.search(
        r"\| \+10\.\d\d \| \d+\.\d\d to \d\d\.\d\d \| 0\.\d{3} \| \d+\.\d \|$", lines[2]
    )
    assert "| blown | 0 | failed | n/a: no seed finished |" in lines[4]
    assert {line.replace(r"\|", "").count("|") for line in lines} == {11}


def test_latex_escapes_what_means_something_there(comparison):
    text = tables.to_latex(comparison, SAMPLE)
    assert text.startswith("% 6 tiles of 8 scenes in 6 places of the split val.\n")
    assert r"a\_b \& 50 \% | c & 2 & 6" in text
    assert r" $\pm$ " in text
    assert text.count(r"\\") == 4
    assert r"F1 [\%]" in text


def test_a_single_seed_has_no_deviation():
    alone = compare([scores("paper", 0.5)], PLACES, "paper")
    markdown = tables.to_markdown(alone, SAMPLE)
    assert "| paper | 1 | 49.93 | n/a: 1 seed, at least 2 are needed |" in markdown
    assert ",,," in tables.to_csv(alone, SAMPLE, "ss mine", "val of mine", "0a", PREDICTED)
