"""Reads tables of scores, those of studies and others."""

import csv
import math
import pathlib

from noise2map_jax.errors import UserError
from noise2map_jax.page.number_text import UNDEFINED
from noise2map_jax.study.result_row import ResultRow

COLUMNS = ("method", "dataset", "f1", "iou")


def read_table(path: pathlib.Path, split: str, *, needs_split: bool = False) -> list[ResultRow]:
    """Read a table with the columns method, dataset, f1 and iou (in percent), and maybe others.

    Rows with `published` = yes are scores that others published. They need columns `protocol` and
    `source`; their `iou` may be empty, and their split is not asked for.

    Args:
        path: the CSV file.
        split: the split that a column `split` must name, if there is one.
        needs_split: whether the column `split` is required.

    Raises:
        UserError: a line is wrong; the message names the line and the reason.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            header = [name.strip() for name in reader.fieldnames or ()]
            if lacking := [name for name in COLUMNS if name not in header]:
                raise UserError(
                    f"{path} lacks the column {', '.join(lacking)}; its header has "
                    f"{', '.join(header) or 'nothing'}"
                )
            if twice := sorted({name for name in header if name and header.count(name) > 1}):
                raise UserError(f"{path} has the column {', '.join(twice)} twice; leave one out")
            if needs_split and "split" not in header:
                raise UserError(
                    f"{path} does not name the split of its scores, because an earlier version "
                    "wrote it; run the study again with --mode=ablate, which trains nothing anew"
                )
            reader.fieldnames = header
            rows = [_read_line(line, f"{path}, line {reader.line_num}", split) for line in reader]
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no CSV table in UTF-8: {error}") from None
    if not rows:
        raise UserError(f"{path} has a header but no rows; expected one a method and dataset")
    return rows


def _read_line(line: dict[str, str | None], where: str, split: str) -> ResultRow:
    source = _published_in(line, where)
    found = (line.get("split") or split).strip()
    if found != split and not source:
        raise UserError(f"{where}: the scores are on {found}, not on {split}; see --split")
    method, dataset, *numbers = ((line[name] or "").strip() for name in COLUMNS)
    if not method or not dataset:
        raise UserError(f"{where}: {'dataset' if method else 'method'} is empty")
    values = []
    for name, text in zip(COLUMNS[2:], numbers, strict=True):
        if text == UNDEFINED or (source and name == "iou" and not text):
            values.append(math.nan)
            continue
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if math.isnan(value):
            raise UserError(
                f"{where}: {name} is {text!r}; expected a number in percent, or {UNDEFINED}"
            )
        if not 0 <= value <= 100:
            raise UserError(f"{where}: {name} is {text}; expected 0 to 100 percent")
        values.append(value)
    f1, iou = values
    protocol, records, timesteps, draws = (
        (line.get(name) or "").strip() or None
        for name in ("protocol", "records", "timesteps", "draws")
    )
    if draws is not None and not draws.isdecimal():
        raise UserError(f"{where}: draws is {draws!r}; expected a whole number")
    known = None if draws is None else int(draws)
    if source and not protocol:
        raise UserError(f"{where}: protocol is empty; published scores need one")
    return ResultRow(
        method, dataset, f1, iou, protocol, records, timesteps, known, published=source
    )


def _published_in(line: dict[str, str | None], where: str) -> str | None:
    """Return where a line's scores were published; None if they are not published ones."""
    published = (line.get("published") or "no").strip()
    if published not in ("yes", "no"):
        raise UserError(f"{where}: published is {published!r}; expected yes or no")
    source = (line.get("source") or "").strip()
    if published == "yes" and not source:
        raise UserError(f"{where}: source is empty; published scores need one")
    return source if published == "yes" else None
