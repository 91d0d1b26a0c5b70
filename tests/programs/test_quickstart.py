"""The notebook: run as it is in the repository, where it has no outputs."""

import re

import nbformat
import programs
from nbclient import NotebookClient

NOTEBOOK = programs.ROOT / "docs" / "quickstart.ipynb"


def read():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_kept_without_outputs():
    notebook = read()
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert set(notebook.metadata.language_info) == {"name"}
    for cell in notebook.cells:
        assert cell.metadata == {}
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


def test_what_it_links_to_is_there():
    text = "".join(cell.source for cell in read().cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert "maps_of_scenes.md" in links
    assert [link for link in links if not (NOTEBOOK.parent / link).is_file()] == []


def test_every_cell_works(cache, tmp_path):
    notebook = read()
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    env = programs.environment(cache) | {"PYTHONPATH": str(programs.ROOT)}
    client.execute(env=env)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    printed = ["".join(out.get("text", "") for out in cell.outputs) for cell in code]
    shown = [cell.outputs[-1].get("data", {}) if cell.outputs else {} for cell in code]
    assert "best step 80: foreground F1" in printed[2]
    assert shown[3]["text/plain"] == "((300, 300), (300, 300, 2), ('background', 'building'))"
    assert "image/png" in shown[4]
    number, area = re.match(r"([\d,]+) polygons \(building ([\d,.]+) m2\)", printed[6]).groups()
    assert int(number) > 10
    assert 500 < float(area.replace(",", "")) < 150**2 / 2  # of the scene's 150 m x 150 m
    assert "image/png" in shown[7]
    assert {path.name for path in (tmp_path / "quickstart").iterdir()} == {
        *("data", "drawn_houses", "scene.tif", "map.tif", "buildings.gpkg", "preview.png")
    }
