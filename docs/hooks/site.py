"""What the site adds to the files in docs/, when mkdocs builds it.

- The front page is README.md.
- A page for each room of the packages, from its docstrings, and their list in `python_api.md`.
- The table of fields in `config_reference.md`.
- Notebooks as pages: their text and code.
- Files outside of docs/ that a page links to, as pages of their own.

So links in the repository are links on the site.
"""

import ast
import json
import pathlib
import posixpath
import re
from collections.abc import Iterator

import config_fields
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = ("noise2map_jax", "data_prep")
FIELDS = "<!-- The site puts the fields of configs/default.py here"
ROOMS = "<!-- The site puts the list of rooms here"
# A link or picture of Markdown that is not a whole address: its target, and the place in it.
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)#\s]+)(#[^)\s]*)?(?=\))")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of rooms into the navigation."""
    assert config.nav is not None
    for entry in config.nav:
        if "Python API" in entry:
            rooms = [
                {name: [{room.split(".")[-1]: _room_uri(room)} for room in _rooms(name)]}
                for name in PACKAGES
            ]
            entry["Python API"] = [{"Where to begin": entry["Python API"]}, *rooms]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the front page, notebooks, rooms, and what pages link to outside of docs/."""
    pages = {"README.md": (ROOT / "README.md").read_text(encoding="utf-8")}
    for file in files.documentation_pages():
        pages[f"docs/{file.src_uri}"] = file.content_string
    files.append(File.generated(config, "index.md", content=pages["README.md"]))
    for notebook in sorted((ROOT / "docs").glob("*.ipynb")):
        path = f"docs/{notebook.name}"
        pages[path] = _notebook_page(notebook)
        files.append(File.generated(config, _site_uri(path), content=pages[path]))
    for package in PACKAGES:
        for room in _rooms(package):
            files.append(File.generated(config, _room_uri(room), content=_room_page(room)))
    waiting = list(pages.items())
    while waiting:
        source, text = waiting.pop()
        for target, _ in LINK.findall(text):
            path = _resolve(source, target)
            uri = _site_uri(path)
            if files.get_file_from_path(uri) or not (ROOT / path).is_file():
                continue  # mkdocs tells of links to nothing
            content = _as_page(path)
            new = File.generated(config, uri, content=content)
            new.inclusion = InclusionLevel.NOT_IN_NAV
            files.append(new)
            if path.endswith(".md"):
                waiting.append((path, content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in what is generated, and turn links of the repository into links of the site."""
    uri = page.file.src_uri
    if uri == "config_reference.md":
        fields = config_fields.sections(ROOT / "configs" / "default.py")
        markdown = _fill(markdown, FIELDS, config_fields.to_markdown(fields))
    if uri == "python_api.md":
        markdown = _fill(markdown, ROOMS, _list_of_rooms())
    if uri.startswith("python_api/"):
        return markdown
    source = _repository_path(uri)
    folder = posixpath.dirname(uri)

    def on_site(match: re.Match[str]) -> str:
        path = _resolve(source, match[1])
        place = match[2] or ""
        if uri_is_room := _room_of(path):
            place = f"#{_module(path)}" if path.endswith(".py") else place
            return posixpath.relpath(_room_uri(uri_is_room), folder or ".") + place
        return posixpath.relpath(_site_uri(path), folder or ".") + place

    return LINK.sub(on_site, markdown)


def _fill(markdown: str, marker: str, text: str) -> str:
    if markdown.count(marker) != 1:
        raise PluginError(f"expected {marker!r} once in the page, found {markdown.count(marker)}")
    return re.sub(re.escape(marker) + r".*?-->", lambda _: text, markdown, flags=re.DOTALL)


def _resolve(source: str, target: str) -> str:
    """The path in the repository of what a page links to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), target))


def _site_uri(path: str) -> str:
    """Where a file of the repository is on the site."""
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/").replace(".ipynb", ".md")
    if path.endswith((".md", ".json")):
        return f"repository/{path}"
    return f"repository/{path}.md"


def _repository_path(uri: str) -> str:
    """Where a page of the site is in the repository."""
    if uri == "index.md":
        return "README.md"
    if uri.startswith("repository/"):
        return uri.removeprefix("repository/")
    return f"docs/{uri}"


def _as_page(path: str) -> str:
    """A file of the repository as a page; Markdown and JSON as they are."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith((".md", ".json")):
        return text
    language = {".py": "python", ".toml": "toml"}.get(pathlib.PurePath(path).suffix, "text")
    return f"# {path}\n\n````{language}\n{text}````\n"


def _notebook_page(path: pathlib.Path) -> str:
    """A notebook as a page: it is kept without outputs, so there are text and code."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def _rooms(package: str) -> list[str]:
    """The package and the packages in it, as dotted names."""
    folders = sorted(p.parent.name for p in (ROOT / package).glob("*/__init__.py"))
    return [package, *(f"{package}.{name}" for name in folders)]


def _room_uri(room: str) -> str:
    return f"python_api/{room}.md"


def _room_of(path: str) -> str:
    """The room that a file or folder of a package belongs to; "" for anything else."""
    parts = pathlib.PurePosixPath(path).parts
    if parts[0] not in PACKAGES or path.endswith(".md"):
        return ""
    return ".".join(parts[:-1] if path.endswith(".py") else parts)


def _module(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def _modules(room: str) -> Iterator[str]:
    for path in sorted((ROOT / room.replace(".", "/")).glob("*.py")):
        if path.stem != "__init__":
            yield f"{room}.{path.stem}"


def _summary(room: str) -> str:
    """The docstring of a room."""
    tree = ast.parse((ROOT / room.replace(".", "/") / "__init__.py").read_text(encoding="utf-8"))
    return ast.get_docstring(tree) or ""


def _room_page(room: str) -> str:
    """The page of a room: what it is for, and its modules."""
    modules = "\n\n".join(f"::: {module}" for module in _modules(room))
    return f"# {room}\n\n{_summary(room)}\n\n{modules}\n"


def _list_of_rooms() -> str:
    lines = ["## Rooms", "", "| room | what it holds |", "|---|---|"]
    for package in PACKAGES:
        for room in _rooms(package):
            lines.append(f"| [`{room}`]({_room_uri(room)}) | {_summary(room).splitlines()[0]} |")
    return "\n".join(lines)
