import os
import shutil

import page_contents
import pytest

from noise2map_jax.page.render import render_run, render_study, write_page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: apt-get install chromium"
)
PAGES = {
    "study": lambda: render_study(page_contents.a_study()),
    "run": lambda: render_run(page_contents.a_run()),
    "hostile": lambda: render_study(page_contents.a_hostile_study()),
}


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's needs another user
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for name, render in PAGES.items():
        write_page(render(), folder / f"{name}.html")
    return {name: (folder / f"{name}.html").as_uri() for name in PAGES}


@pytest.fixture
def open_page(browser, addresses):
    """Open a page from the disk; at the end nothing was asked for and nothing complained of."""
    complaints, requests, pages = [], [], []

    def open_one(name, width=1280):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(5000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(addresses[name])
        pages.append(page)
        return page

    yield open_one
    for page in pages:
        page.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [
        url for url in requests if url in addresses.values()
    ]


def wipe_of(scene):
    """How far from the left the maps of a scene are cut off."""
    clips = scene.locator(".over").evaluate_all("all => all.map(e => getComputedStyle(e).clipPath)")
    assert len(set(clips)) == 1  # all of them move together
    return clips[0]


def first_cells(table):
    return [text.split()[0] for text in table.locator("tbody th").all_inner_texts()]


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", list(PAGES))
def test_a_page_opens_from_the_disk_and_fits_the_screen(open_page, name, width):
    page = open_page(name, width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator(".scene").count() == 2
    broken = "all => all.filter(e => !e.naturalWidth).length"
    assert page.locator("img").evaluate_all(broken) == 0
    for plot in page.locator("figure > svg").all():
        assert plot.bounding_box()["height"] > 100


@pytest.mark.parametrize("name", ["study", "run"])
def test_the_slider_moves_all_maps_of_its_scene(open_page, name):
    page = open_page(name)
    first, second = page.locator(".scene").all()
    assert wipe_of(first) == "inset(0px 0px 0px 0%)"
    slider = first.locator("input[type=range]")
    slider.fill("40")
    assert wipe_of(first) == "inset(0px 0px 0px 40%)"
    slider.press("ArrowRight")
    assert wipe_of(first) == "inset(0px 0px 0px 41%)"
    assert wipe_of(second) == "inset(0px 0px 0px 0%)"


@pytest.mark.parametrize("name", ["study", "run"])
def test_a_drag_across_a_map_moves_the_slider(open_page, name):
    page = open_page(name)
    scene = page.locator(".scene").nth(1)
    picture = scene.locator(".picture.under").last
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 10, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, middle, steps=3)
    assert wipe_of(scene) == "inset(0px 0px 0px 75%)"
    page.mouse.move(box["x"] + 3 * box["width"], middle)  # beyond its edge
    assert wipe_of(scene) == "inset(0px 0px 0px 100%)"
    page.mouse.up()
    page.mouse.move(box["x"] + 10, middle)
    assert scene.locator("input[type=range]").input_value() == "100"


def test_what_lies_over_and_beneath_can_be_chosen(open_page):
    scene = open_page("study").locator(".scene").first
    under = scene.locator(".under").last
    later = under.evaluate("e => getComputedStyle(e).backgroundImage")
    scene.get_by_role("radio", name="earlier").check()
    earlier = under.evaluate("e => getComputedStyle(e).backgroundImage")
    assert later.startswith('url("data:image/jpeg')
    assert earlier.startswith('url("data:image/jpeg')
    assert earlier != later
    assert not scene.locator("img.probability").first.is_visible()
    scene.get_by_role("radio", name="probability").check()
    assert scene.locator("img.probability").first.is_visible()
    assert scene.locator("img.classes:visible").count() == 1  # that of the truth


def test_the_ranking_sorts_by_click_and_back(open_page):
    table = open_page("study").locator("table").first
    by_name = table.get_by_role("button", name="Variant")
    assert first_cells(table) == ["cosine", "paper", "clean"]
    by_name.click()
    assert first_cells(table) == ["clean", "cosine", "paper"]
    assert by_name.locator("..").get_attribute("aria-sort") == "ascending"
    by_name.press("Enter")
    assert first_cells(table) == ["paper", "cosine", "clean"]
    assert by_name.locator("..").get_attribute("aria-sort") == "descending"
    by_name.click()
    assert first_cells(table) == ["cosine", "paper", "clean"]
    assert by_name.locator("..").get_attribute("aria-sort") == "none"


def test_numbers_sort_as_numbers_and_unknown_ones_come_last(open_page):
    table = open_page("study").locator("table.heat")
    cosine = table.get_by_role("button", name="cosine")
    cosine.click()
    assert first_cells(table) == ["area_1", "area_10", "area_9"]
    cosine.click()
    assert first_cells(table) == ["area_10", "area_1", "area_9"]
    table.get_by_role("button", name="Place").click()
    assert first_cells(table) == ["area_1", "area_9", "area_10"]


def test_the_scores_of_a_run_sort(open_page):
    table = open_page("run").locator("table").first
    table.get_by_role("button", name="Recall").click()
    assert first_cells(table) == ["background", "rail", "building"]
    table.get_by_role("button", name="Recall").click()
    assert first_cells(table) == ["rail", "background", "building"]


def test_a_variant_can_be_hidden_in_the_plots(open_page):
    learning = open_page("study").locator("#learning")
    lines = learning.locator('.series[data-series="1"]')
    assert lines.count() == 4  # two seeds in two plots
    button = learning.get_by_role("button", name="cosine")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert not lines.first.is_visible()
    button.click()
    assert lines.first.is_visible()


def test_a_scene_is_reached_by_its_name(open_page):
    page = open_page("study")
    page.get_by_role("link", name="area_9").click()
    assert page.url.endswith("#scene-1")
