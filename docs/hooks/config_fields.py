"""The fields of a config file with their values and comments, as Markdown.

Reads the source: what a comment says beside a field, or on the lines above it, is its meaning.
"""

import ast
import dataclasses
import html
import io
import pathlib
import re
import tokenize


@dataclasses.dataclass(frozen=True)
class Field:
    """One field: its value as written, and the lines of its comment."""

    name: str
    value: str
    comment: tuple[str, ...]


def sections(path: pathlib.Path) -> dict[str, list[Field]]:
    """Read the fields of a config file by the full name of their section; "" is the top one.

    Args:
        path: a file like `configs/default.py`: `get_config` returns `create(...)` of nested
            `create(...)`, and other functions assign to sections `config.NAME = create(...)` or
            `config.NAME[...] = create(...)`.

    Raises:
        ValueError: a field has no comment, and no argument of its function says what it is.
    """
    source = path.read_text(encoding="utf-8")
    found: dict[str, list[Field]] = {}
    for function in ast.parse(source).body:
        if not isinstance(function, ast.FunctionDef):
            continue
        arguments = _arguments(function)
        for statement in ast.walk(function):
            if isinstance(statement, ast.Return) and _is_create(statement.value):
                _collect(statement.value, "", source, arguments, found)
            elif isinstance(statement, ast.Assign) and _is_create(statement.value):
                name = ast.unparse(statement.targets[0]).removeprefix("config.")
                name = name.replace("[name]", ".TASK")
                _collect(statement.value, name, source, arguments, found)
    return {name: fields for name, fields in found.items() if fields}


def to_markdown(found: dict[str, list[Field]]) -> str:
    """Write a heading and a table for each section."""
    lines = []
    for section, fields in found.items():
        lines += ["", f"### {section or 'The experiment'}", "", "| field | default | meaning |"]
        lines.append("|---|---|---|")
        for field in fields:
            name = f"{section}.{field.name}" if section else field.name
            value = f"`{field.value}`" if field.value not in ("", "create()") else ""
            lines.append(f"| `{name}` | {value} | {_text(field.comment)} |")
    return "\n".join(lines) + "\n"


def _is_create(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "create"


def _collect(
    call: ast.Call,
    section: str,
    source: str,
    arguments: dict[str, tuple[str, str]],
    found: dict[str, list[Field]],
) -> None:
    """Add the fields of a section, and of those within it, in the order of the file."""
    fields, comments = found.setdefault(section, []), _comments(source)
    for keyword in call.keywords:
        assert keyword.arg is not None
        value = ast.get_source_segment(source, keyword.value) or ""
        if value.startswith("own."):  # a field of the task, moved here with its meaning
            continue
        if _is_create(keyword.value) and keyword.value.keywords:
            if "own." not in value:
                inner = f"{section}.{keyword.arg}".lstrip(".")
                _collect(keyword.value, inner, source, arguments, found)
            continue
        last = keyword.value.end_lineno
        comment = [comments[last][0]] if last in comments else _above(keyword.lineno, comments)
        if keyword.arg in arguments:  # given by the config file, whose author reads the docstring
            value, text = arguments[keyword.arg]
            comment = [text]
        if not comment:
            raise ValueError(f"{section}.{keyword.arg} in line {keyword.lineno} has no comment")
        fields.append(Field(keyword.arg, value, tuple(comment)))


def _comments(source: str) -> dict[int, tuple[str, bool]]:
    """The comment of each line, and whether it has the line to itself."""
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            alone = not token.line[: token.start[1]].strip()
            found[token.start[0]] = token.string.removeprefix("#").removeprefix(" "), alone
    return found


def _above(line: int, comments: dict[int, tuple[str, bool]]) -> list[str]:
    """The lines of comment that end just above a line."""
    lines: list[str] = []
    while comments.get(line - 1, ("", False))[1]:
        line -= 1
        lines.insert(0, comments[line][0])
    return lines


def _arguments(function: ast.FunctionDef) -> dict[str, tuple[str, str]]:
    """The default of each argument of a function, and what its docstring says of it."""
    _, _, block = (ast.get_docstring(function) or "").partition("Args:\n")
    entries = re.findall(r"^    (\w+): (.+?)(?=^    \w|^\S|\Z)", block, re.MULTILINE | re.DOTALL)
    texts = {name: " ".join(text.split()).removesuffix(".") for name, text in entries}
    names = [argument.arg for argument in function.args.args]
    defaults = [ast.unparse(default) for default in function.args.defaults]
    values = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    return {name: (values.get(name, ""), text) for name, text in texts.items()}


def _text(lines: tuple[str, ...]) -> str:
    """A comment in a cell: prose as it is, columns that are aligned by spaces kept aligned."""
    if any("   " in line for line in lines):
        rows = "&#10;".join(html.escape(line) for line in lines)
        return f"<pre>{rows.replace('|', '&#124;')}</pre>"
    return " ".join(lines).replace("|", "&#124;").replace("<", "&lt;")
