import dataclasses
import re

import pytest

from noise2map_jax.page.measurements import (
    Column,
    Fact,
    LinePlot,
    MeasurementsPage,
    Section,
    Shown,
    Table,
)
from noise2map_jax.page.render import render_measurements


@pytest.fixture
def page():
    columns = (Column("Network", numeric=False), Column("Batch"), Column("Images/s", "best"))
    rows = (("a <b>", 1024, 1234.5), ("c", None, "does not fit"))
    plot = LinePlot("images", "images/s", {"one": [(1, 5.0), (4, 9.0)], "two": [(2, 3.0)]})
    empty = LinePlot("images", "TFLOP/s", {})
    shown = Shown("A note.", (Table("Over batches", columns, rows),), (plot, empty))
    return MeasurementsPage(
        title="1 x device",
        protocol="where and when",
        command="python -m this",
        config="{}",
        facts=(Fact("Speed", "5 images/s", "float32"),),
        sections=(
            Section("speed", "Speed", "", shown),
            Section("memory", "Memory", "Not measured: no time left", Shown()),
        ),
    )


def test_what_was_measured_and_what_was_not(page):
    text = render_measurements(page)
    for words in ("A note.", "Over batches", "5 images/s", "where and when", "python -m this"):
        assert words in text
    assert '<p class="incomplete">Not measured: no time left</p>' in text
    assert text.count('<p class="incomplete">') == 1
    assert re.findall(r'<section id="([\w-]+)"', text) == ["speed", "memory", "origin"]
    assert re.findall(r'<a href="#([\w-]+)"', text) == ["speed", "memory", "origin"]
    assert text.count("<table") == 1


def test_numbers_are_shown_short_and_sorted_by_what_they_are(page):
    text = render_measurements(page)
    assert '<th scope="row" data-value="a &lt;b&gt;">a &lt;b&gt;</th>' in text
    assert '<td class="number" data-value="1024.0">1,024</td>' in text
    assert '<td class="number" data-value="1234.5">1,234</td>' in text
    assert '<td class="number" data-value="">–</td>' in text
    assert '<td class="number" data-value="">does not fit</td>' in text


def test_lines_can_be_hidden_and_begin_at_zero(page):
    text = render_measurements(page)
    assert re.findall(r'class="series" data-series="(\d)"', text) == ["0", "1"]
    assert re.findall(
        r'aria-pressed="true" data-series="(\d)" title="Show or hide (\w+)"', text
    ) == [
        ("0", "one"),
        ("1", "two"),
    ]
    assert text.count('role="img"') == 1
    assert 'aria-label="images/s over images"' in text
    ticks = re.findall(r"<text[^>]*>([\d.]+)</text>", text)
    assert ticks[:3] == ["1", "2", "4"]
    assert ticks[3] == "0"


def test_an_empty_page_is_a_page(page):
    text = render_measurements(dataclasses.replace(page, facts=(), sections=()))
    assert 'class="facts"' not in text
    assert re.findall(r'<section id="([\w-]+)"', text) == ["origin"]
