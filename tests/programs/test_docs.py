"""README and docs: what they name is there, and the site is built without a warning."""

import ast
import html.parser
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import programs
import pytest

import data_prep.__main__
from configs import ablate_noise, default, multitask_buildings
from noise2map_jax.experiment.config_fields import fields

ROOT = pathlib.Path(programs.ROOT)
# A changelog also names what is there no more.
TOP = [page for page in sorted(ROOT.glob("*.md")) if page.name != "CHANGELOG.md"]
PAGES = [*TOP, *sorted((ROOT / "docs").glob("*.md"))]
# Commands stand in the docstrings of configs as well.
WITH_COMMANDS = [*PAGES, *sorted((ROOT / "configs").glob("*.py"))]
SITE_TOOLS = ("mkdocs", "material", "mkdocstrings")


def names(pages):
    return [str(page.relative_to(ROOT)) for page in pages]


def found(pattern, page):
    """What a pattern finds in a page; lines that go on with a backslash are one."""
    return sorted(set(re.findall(pattern, page.read_text().replace("\\\n", " "))))


def anchors(page):
    """The places of a page that can be linked to: its headings, as GitHub and mkdocs name them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_readme_has_at_most_150_lines():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_what_a_page_links_to_is_there(page):
    targets = found(r"\]\((?![a-z]+:)([^)\s]+)\)", page)
    missing = []
    for target in targets:
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
            missing.append(target)
    assert missing == []


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=names(WITH_COMMANDS))
def test_files_that_a_page_names_are_there(page):
    rooms = "noise2map_jax|data_prep|configs|benchmarks|tests|docs"
    paths = found(rf"(?<![\w/.-])((?:{rooms})/[\w/]*[\w.]*\w/?)", page)
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=names(WITH_COMMANDS))
def test_commands_that_a_page_names_are_there(page):
    ours = found(r"python -m ((?:noise2map_jax|data_prep|benchmarks)[\w.]*\w)", page)
    assert [module for module in ours if importlib.util.find_spec(module) is None] == []
    known = data_prep.builders.catalogue.BUILDERS | data_prep.__main__.TOOLS
    assert set(found(r"python -m data_prep ([a-z]\w*)", page)) <= known.keys()
    benchmarks = (ROOT / "benchmarks" / "__main__.py").read_text()
    used = found(r"python -m benchmarks ([a-z]\w*)", page)
    assert [name for name in used if f'"{name}": {name},' not in benchmarks] == []


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=names(WITH_COMMANDS))
def test_config_fields_that_a_page_names_are_there(page):
    configs = (default.get_config(), multitask_buildings.get_config(), ablate_noise.get_config())
    known = set().union(*map(fields, configs))
    assert set(found(r"--config\.([a-z][\w.]*\w)", page)) <= known


def test_the_config_reference_has_every_field_with_its_default():
    path = ROOT / "docs" / "hooks" / "config_fields.py"
    spec = importlib.util.spec_from_file_location("config_fields", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["config_fields"] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
        sections = module.sections(ROOT / "configs" / "default.py")
        text = module.to_markdown(sections)
    finally:
        del sys.modules["config_fields"]
    rows = {
        f"{section}.{field.name}".lstrip("."): field.value
        for section, entries in sections.items()
        for field in entries
    }
    expected = fields(default.get_config())
    of_studies = {f"study.{name}" for name in default.study(default.get_config(), ()).study}
    assert rows.keys() == expected.keys() | of_studies | {"tasks", "tasks.TASK.weight"}
    values = {name: ast.literal_eval(rows[name]) for name in expected}
    assert json.loads(json.dumps(values)) == expected  # in JSON tuples are lists
    # A comment beside a field, one above it, one with aligned columns, and an argument's.
    assert "| `data.tile_size` | `256` | side of the records in pixels |" in text
    assert '| `train.remat` | `"none"` | What the backward pass computes again instead' in text
    assert "highest  six of bfloat16: float32  float32              float32&#10;" in text
    assert (
        "| `study.reference` | `'paper'` | the variant that the others are compared with |" in text
    )


class Resources(html.parser.HTMLParser):
    """Collects what a page loads: scripts, styles, fonts, pictures."""

    def __init__(self):
        super().__init__()
        self.loaded = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag != "a" and not (tag == "link" and values.get("rel") == "canonical"):
            self.loaded += [values[key] for key in ("src", "href") if values.get(key)]


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in SITE_TOOLS),
    reason="the tools of the site are not installed (extra docs)",
)
def test_the_site_is_built_strictly_and_loads_nothing_from_elsewhere(tmp_path):
    # A proxy that is not there: what would be fetched while building fails.
    nowhere = {f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https", "all")}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", f"--site-dir={tmp_path}"],
        cwd=ROOT,
        env=os.environ | nowhere | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    pages = {str(p.parent.relative_to(tmp_path)): p.read_text() for p in tmp_path.rglob("*.html")}
    assert len(pages) > 30
    for page, text in pages.items():
        resources = Resources()
        resources.feed(text)
        elsewhere = [url for url in resources.loaded if re.match(r"(https?:)?//", url)]
        assert elsewhere == [], page
    # The README is the front page, with links that lead to pages of the site.
    assert 'href="your_own_data/"' in pages["."]
    assert 'src="images/study_ss_scores.png"' in pages["."]
    assert "write_preview" in pages["quickstart"]  # a notebook
    assert 'href="../quickstart/"' in pages["maps_of_scenes"]
    # Fields from the code, the API from docstrings, and links of the repository to both.
    assert "side of the records in pixels" in pages["config_reference"]
    step = "noise2map_jax.steps.train_step"
    assert f'id="{step}.train_step"' in pages["python_api/noise2map_jax.steps"]
    assert f'href="../python_api/noise2map_jax.steps/#{step}"' in pages["how_it_is_built"]
    assert 'href="../python_api/noise2map_jax.study/"' in pages["how_it_is_built"]
    assert "repository/benchmarks/NOTES" in pages
    for package in ("noise2map_jax", "data_prep"):
        rooms = {f"{package}.{p.parent.name}" for p in (ROOT / package).glob("*/__init__.py")}
        assert {f"python_api/{room}" for room in rooms} <= pages.keys()
