import base64
import dataclasses
import html.parser
import io
import re
import subprocess
import sys

import numpy as np
import page_contents
import pytest
from PIL import Image

from noise2map_jax.errors import UserError
from noise2map_jax.page import curve_plot, pictures
from noise2map_jax.page.content import PlaceScores, Ranking, StepPart, VariantScore
from noise2map_jax.page.curves import FieldScores, ScoreLine
from noise2map_jax.page.number_text import (
    detectable,
    p_value,
    percent,
    signed,
    signed_percent,
    sort_value,
)
from noise2map_jax.page.render import render_run, render_study, write_page
from noise2map_jax.page.series import COLOURS, create_series
from noise2map_jax.page.sweep_plot import distinct_schedules
from noise2map_jax.pictures import map_colours

NAN = float("nan")


class Page(html.parser.HTMLParser):
    """What a page consists of: tags in order, ids, addresses it refers to, text."""

    VOID = frozenset({"meta", "link", "input", "img", "br"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.addresses, self.open = [], [], [], []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["script"], ["style"]):
            self.text += data


def table_rows(text, number):
    """The text of the first cells of a table of a page, and all text of its rows."""
    body = re.findall(r"<tbody>(.*?)</tbody>", text, re.DOTALL)[number]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in rows]


def decoded(uri):
    kind, _, data = uri.partition(";base64,")
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert kind == f"data:image/{image.format.lower()}"
    return image


@pytest.fixture(scope="module")
def study():
    return render_study(page_contents.a_study())


@pytest.fixture(scope="module")
def run():
    return render_run(page_contents.a_run())


def test_a_study_ranks_its_variants_and_states_their_scores(study):
    assert table_rows(study, 0) == [
        "cosine noise.kind=cosine 1 3/3 88.00 ± 1.00 [86.00, 90.00] 78.57 +4.00 [+1.00, +7.00] "
        "0.031 4.2 +4.00 better Differs from the reference.",
        "paper reference noise.kind=paper 2 3/3 84.00 ± 1.00 [82.00, 86.00] 72.41 – – – – –",
        "clean noise.kind=clean 3 3/3 71.00 ± 1.00 [69.00, 73.00] 55.04 −13.00 [−16.00, −10.00] "
        "0.031 4.2 −13.00 worse Differs from the reference.",
    ]


def test_variants_are_ranked_by_what_is_printed_and_ties_by_iou():
    by_seed = page_contents.a_ranking().variants[0]
    scores = ((0.8, 0.6), (0.80004, 0.7), (0.80001, 0.60001), (NAN, None))
    variants = tuple(
        dataclasses.replace(by_seed, name=name, description="", f1_mean=f1, iou_mean=iou)
        for name, (f1, iou) in zip(("paper", "b", "c", "d"), scores, strict=True)
    )
    text = render_study(page_contents.a_study(ranking=Ranking(variants, page_contents.SAMPLE)))
    assert [row.split(" 3/3")[0] for row in table_rows(text, 0)] == [
        *("b 1", "paper reference 2", "c 2", "d –")
    ]
    assert "what prints alike, by IoU" in text


def test_a_study_of_networks_says_what_they_cost(study):
    assert "What the networks cost" not in study
    page = render_study(page_contents.a_study(costs=page_contents.some_costs()))
    assert '<a href="#costs">Costs</a>' in page
    assert table_rows(page, 1)[0] == (
        "paper reference 113,673,219 494 12.3 [11.0, 13.5] 40.0 [38.0, 41.0] 3.00"
    )
    assert 'data-value="494500000000.0"' in page
    assert page_contents.some_costs().note in Page(page).text


def test_a_study_states_where_it_comes_from(study):
    text = Page(study).text
    for part in (
        "A study",
        "320 tiles of 80 scenes in 23 places of the split val",
        "study.seeds=0,1,2",
        "kind: swap",
        "not finite",
    ):
        assert part in text
    assert "Predictions of seed 0." in text


def test_scores_over_a_field_are_a_plot_with_a_legend_where_there_are_several_lines():
    points = ((250.0, (0.3, 0.5)), (500.0, (0.5, 0.6)), (1000.0, (0.7,)))
    lines = tuple(ScoreLine(name, points) for name in page_contents.VARIANTS)
    page = render_study(page_contents.a_study(field_scores=FieldScores("train.num_steps", lines)))
    assert "F1 over train.num_steps" in Page(page).text
    (plot,) = re.findall(
        r'<svg[^>]*aria-label="F1 on validation over train.num_steps".*?</svg>', page
    )
    assert [n for n in re.findall(r"<text[^>]*>([^<]*)</text>", plot) if n.isdigit()][:3] == [
        *("250", "500", "1000")
    ]
    # A group a seed dots of each point, and the line: all of a variant are hidden together.
    assert len(re.findall(r'data-series="0"', plot)) == 4
    one = FieldScores("train.num_steps", lines[:1])
    assert (
        "F1 over train.num_steps"
        in Page(render_study(page_contents.a_study(field_scores=one))).text
    )
    assert "F1 over" not in Page(render_study(page_contents.a_study())).text


def test_place_scores_link_to_the_pictures_there_are(study):
    assert table_rows(study, 1) == [
        "area_10 50.0 75.0 25.0",
        "area_9 90.0 n/a 20.0",
        "area_1 70.0 80.0 10.0",
    ]
    assert '<a href="#scene-0">area_10</a>' in study
    assert '<a href="#scene-1">area_9</a>' in study
    assert ">area_1</a>" not in study


def test_a_page_says_how_many_places_there_are_or_that_they_are_not_known():
    found = Page(render_study(page_contents.a_study())).text
    assert "Places23" in found.replace("\n", "")
    unknown = dataclasses.replace(page_contents.SAMPLE, num_places=80, places_known=False)
    study = page_contents.a_study(ranking=page_contents.a_ranking(unknown))
    text = Page(render_study(study)).text
    assert "Placesnot known" in text.replace("\n", "")
    assert "which of them lie in one place is not known: each is taken for a place of its" in text


def test_a_refused_interval_is_said_and_not_drawn():
    ranking = page_contents.a_ranking()
    reason = "2 places, at least 3 are needed"
    refused = [
        dataclasses.replace(
            variant,
            f1_interval=None,
            f1_refusal=reason,
            difference_interval=None,
            difference_refusal=reason if variant.name != "paper" else "",
            p_value=NAN,
            detectable=NAN,
        )
        for variant in ranking.variants
    ]
    study = page_contents.a_study(ranking=dataclasses.replace(ranking, variants=tuple(refused)))
    text = render_study(study)
    rows = table_rows(text, 0)
    assert rows[0].startswith(
        f"cosine noise.kind=cosine 1 3/3 88.00 ± 1.00 n/a: {reason} 78.57 +4.00 n/a: {reason} "
    )
    assert "Seen" not in Page(text).text
    assert "Bars" not in Page(text).text
    assert "hold together" not in Page(text).text


def test_test_is_a_section_of_its_own_with_scores_once_it_was_opened(study):
    assert re.findall(r'<section id="(.*)"', study)[:2] == ["scores", "test"]
    before = Page(study).text
    assert "The test split has not been opened." in before
    assert "of the split test" not in before
    sample = dataclasses.replace(page_contents.SAMPLE, split="test", num_places=11)
    final = page_contents.a_ranking(sample, shift=-0.05)
    opened = page_contents.a_study(final=final, test_note="The test split was opened once.")
    text = render_study(opened)
    assert table_rows(text, 0) == table_rows(study, 0)
    assert table_rows(text, 1)[0].startswith("cosine noise.kind=cosine 1 3/3 83.00 ± 1.00")
    assert "in 11 places of the split test" in Page(text).text


def test_a_run_states_the_scores_of_each_class(run):
    assert table_rows(run, 0) == [
        "background 98.00 96.00 98.50 97.60",
        "building 92.65 86.31 91.00 n/a",
        "rail 10.00 5.00 20.00 30.00",
    ]
    assert "rail" in Page(run).text.partition("Pictures")[2]  # the legend of the maps


@pytest.mark.parametrize("kind", ["study", "run"])
def test_a_page_is_well_formed_and_needs_nothing_else(kind, request):
    text = request.getfixturevalue(kind)
    page = Page(text)
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    for address in page.addresses:
        assert address.startswith("data:") or address[1:] in page.ids
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(page.ids)
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text


def test_the_same_content_gives_the_same_text(study, run):
    assert render_study(page_contents.a_study()) == study
    assert render_run(page_contents.a_run()) == run


def test_hostile_names_are_but_text(study):
    page = Page(render_study(page_contents.a_hostile_study()))
    assert page.open == []
    assert page.tags.count("script") == Page(study).tags.count("script") == 1


def test_samples_are_shown_where_there_are_any(run):
    assert re.findall(r"<figcaption>(step .*?)</figcaption>", run) == ["step 2,000", "step 4,000"]
    assert 'href="#samples"' in run
    assert "samples" not in re.findall(r'id="(.*?)"', render_run(page_contents.a_run(samples=())))


def test_where_time_goes_is_shown_where_steps_were_recorded(run):
    page = Page(run)
    for words in ("Where the time of a step goes", "up_blocks_0 backward", "61.25", "60.0"):
        assert words in page.text
    assert 'href="#profile"' in run
    shades = re.findall(r"--shade: ([\d.]+)", run[run.index('id="profile"') :])
    assert shades == ["1.00", "0.67"]
    nothing = (StepPart("optimizer", 0.0, 0.0),)
    assert "--shade: 0.00" in render_run(page_contents.a_run(profile=nothing))
    assert "profile" not in re.findall(r'id="(.*?)"', render_run(page_contents.a_run(profile=())))


def test_empty_parts_are_left_out():
    content = page_contents.a_study(
        ranking=Ranking((VariantScore("alone", "", 0, 1, NAN),), page_contents.SAMPLE),
        reference="alone",
        **dict.fromkeys(("notes", "sweeps", "curves", "noised", "pictures"), ()),
        place_scores=None,
    )
    text = render_study(content)
    assert re.findall(r'<section id="(.*)"', text) == ["scores", "test", "origin"]
    for absent in ("Difference", "adjusted", "Effect", "Verdict", "Notes", "Bars", "nan"):
        assert absent not in Page(text).text
    bare = page_contents.a_run(scores=(), curves=(), noised=(), pictures=(), config="", command="")
    assert Page(render_run(bare)).open == []


def test_parts_that_are_not_finite_are_drawn_as_gaps():
    content = page_contents.a_study()
    sweeps = tuple(dataclasses.replace(s, f1=np.full((3, 4), NAN)) for s in content.sweeps)
    curves = tuple(
        dataclasses.replace(c, loss=np.full(500, np.inf), f1=np.full(10, NAN))
        for c in content.curves
    )
    scores = PlaceScores(("a",), ("paper",), np.array([[NAN]]))
    text = render_study(
        dataclasses.replace(content, sweeps=sweeps, curves=curves, place_scores=scores)
    )
    assert 'id="learning"' not in text
    assert "NaN" not in re.sub(r"<script>.*</script>", "", text, flags=re.DOTALL)


def test_an_unknown_reference_and_equal_names_are_errors():
    with pytest.raises(UserError, match="reference is 'other'; expected one of"):
        render_study(page_contents.a_study(reference="other"))
    twice = (page_contents.a_score("paper", 0.5),) * 2
    with pytest.raises(UserError, match="expected every name once"):
        render_study(page_contents.a_study(ranking=Ranking(twice, page_contents.SAMPLE)))


def test_a_page_is_written_whole(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("before")
    write_page("a – b \udcff\n", path)
    assert path.read_bytes() == "a – b ?\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_training_does_not_need_what_pages_need():
    program = (
        "import sys, noise2map_jax.train, noise2map_jax.pictures.prediction_rows\n"
        "sys.exit(bool({'matplotlib', 'jinja2', 'noise2map_jax.page'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_variants_are_told_apart():
    names = [f"v{i}" for i in range(24)]
    series = create_series([*names, "v3"], "v5")
    assert [own.number for own in series.values()] == list(range(24))
    looks = {(own.colour, own.dashes, own.marker) for own in series.values()}
    assert len(looks) == 24
    assert series["v5"].is_reference
    assert series["v5"].colour not in COLOURS
    assert series["v0"].colour == create_series(["v0", "other"]).get("v0").colour


def test_equal_contrasts_are_one_schedule():
    sweeps = page_contents.a_study().sweeps
    assert [schedule.label for schedule in distinct_schedules(sweeps)] == ["linear"]
    other = dataclasses.replace(sweeps[2], contrast=np.ones(1000), schedule="none")
    labels = [schedule.label for schedule in distinct_schedules((*sweeps[:2], other))]
    assert labels == ["linear: paper, cosine", "none: clean"]
    assert distinct_schedules([dataclasses.replace(sweeps[0], contrast=None)]) == []


def test_long_curves_are_averaged_and_short_ones_kept():
    steps, values = curve_plot.average(np.arange(1000), np.arange(1000) % 5)
    assert len(steps) == len(values) == curve_plot.MOST_POINTS
    np.testing.assert_allclose(values, 2)
    np.testing.assert_allclose(steps[:2], [2, 7])
    np.testing.assert_array_equal(curve_plot.average(np.arange(3), np.eye(3)[0])[1], [1, 0, 0])


def test_maps_keep_every_pixel():
    truth, prediction = np.array([[0, 0, 1, 1, 255]]), np.array([[0, 1, 0, 1, 1]])
    coloured = map_colours.colour_prediction(prediction, truth, 2)
    image = decoded(pictures.few_colours(coloured))
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), coloured)
    many = np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(decoded(pictures.few_colours(many))), many)


def test_probabilities_are_shades_of_grey():
    image = decoded(pictures.grey(np.array([[0, 0.49, 0.51, 1, NAN]]))).convert("L")
    np.testing.assert_array_equal(np.asarray(image), [[0, 128, 128, 255, 0]])


def test_photographs_are_small():
    image = decoded(pictures.photo(np.full((16, 24, 3), 77, np.uint8)))
    assert (image.format, image.size) == ("JPEG", (24, 16))


def test_numbers_that_are_not_known_are_dashes():
    assert [percent(0.5), percent(None), percent(NAN)] == ["50.00", "–", "n/a"]
    assert [signed_percent(-0.012), signed_percent(None)] == ["−1.20", "–"]
    assert [signed(1.5), signed(NAN)] == ["+1.50", "n/a"]
    assert [detectable(0.0421), detectable(1.5), detectable(NAN)] == ["4.2", "none", "n/a"]
    assert [p_value(0.0004), p_value(0.25), p_value(None)] == ["<0.001", "0.250", "–"]
    assert [sort_value(np.float32(0.5)), sort_value(NAN), sort_value(None)] == ["0.5", "", ""]
