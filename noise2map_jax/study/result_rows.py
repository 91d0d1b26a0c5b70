"""Scores of methods on datasets, read from evaluated runs, studies and tables."""

import csv
import json
import math
import pathlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

from noise2map_jax.devices.checkpoint import saved_steps
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.run_config import load_config
from noise2map_jax.experiment.task_configs import task_configs
from noise2map_jax.method.tasks import get_task

COLUMNS = ("method", "dataset", "f1", "iou")
# Of a study, by split.
STUDY_TABLES = {
    "val": pathlib.PurePath("report", "results.csv"),
    "test": pathlib.PurePath("report", "final.csv"),
}


class ResultRow(NamedTuple):
    """The scores of one method on one dataset.

    Attributes:
        method: its name.
        dataset: task and name, such as "ss whu": what scores can be compared on.
        f1: foreground F1 in percent.
        iou: foreground IoU in percent.
        protocol: what it was scored on, in a line; None where a table does not say, as below.
        records: digest of the dataset.
        timesteps: at which it predicted, in words.
        draws: of Gaussian noise that its predictions are means over; 0 = it has no such noise.
        differs: in what a run was not scored as it was trained.
    """

    method: str
    dataset: str
    f1: float
    iou: float
    protocol: str | None = None
    records: str | None = None
    timesteps: str | None = None
    draws: int | None = None
    differs: tuple[str, ...] = ()


# What scores say of how they came about, besides the protocol.
PREDICTED = {"records", "inference_timesteps", "num_noise_draws"}
# How a run predicts, and may predict otherwise when it is evaluated again.
PREDICTION: dict[str, Callable[[ResultRow], object]] = {
    "t =": lambda row: row.timesteps,
    "draws of noise:": lambda row: row.draws,
}


def read_results(sources: Iterable[str], split: str) -> list[ResultRow]:
    """Read what the command line names.

    Args:
        sources: folders of runs, `METHOD=FOLDER`, folders of studies, CSV tables.
        split: whose scores of runs and studies; a table that names another is refused, one that
            names none is taken as it is.

    Raises:
        UserError: naming the first that cannot be used, and why; also one that is named twice, and
            runs that were scored on different records.
    """
    rows: list[ResultRow] = []
    seen: dict[pathlib.Path, str] = {}
    for source in sources:
        name, path = _split_name(source)
        if (first := seen.setdefault(path.resolve(), source)) is not source:
            raise UserError(f"{source} is the same as {first}; name each once")
        is_study = (path / STUDY_TABLES["val"]).is_file()
        if name and (is_study or path.suffix == ".csv"):
            raise UserError(f"{source} names a method, but {path} has its own; leave out {name}=")
        if is_study:
            rows += read_study(path, split)
        elif path.suffix == ".csv":
            rows += read_table(path, split)
        elif (path / "config.json").is_file():
            rows += read_run(path, name or path.resolve().name, split)
        elif path.exists():
            raise UserError(
                f"{path} is neither a run (config.json), a study ({STUDY_TABLES['val']}) nor a "
                ".csv table"
            )
        else:
            raise UserError(f"{path} does not exist; expected a run, a study or a .csv table")
    _check_protocols(rows)
    return rows


def _check_protocols(rows: list[ResultRow]) -> None:
    """Refuse scores of one dataset that was built in two ways, and means over unlike predictions.

    Methods may differ in their timesteps of prediction; runs of one method are averaged.
    """
    if pair := _unlike(rows, lambda row: row.dataset, lambda row: row.protocol):
        one, other = pair
        raise UserError(
            f"{one.method} and {other.method} were not scored on the same {one.dataset}: "
            f"{one.protocol!r} and {other.protocol!r}; evaluate them on the same records"
        )
    if pair := _unlike(rows, lambda row: row.dataset, lambda row: row.records):
        one, other = pair
        raise UserError(
            f"{one.method} and {other.method} were not scored on the same {one.dataset}: it was "
            "built anew between them; evaluate both again"
        )
    for what, of_row in PREDICTION.items():
        if pair := _unlike(rows, lambda row: (row.method, row.dataset), of_row):
            one, other = pair
            raise UserError(
                f"runs of {one.method} predicted {one.dataset} with {what} {of_row(one)} and "
                f"{of_row(other)}, which have no common mean; evaluate them alike, or give them "
                "names of their own: METHOD=FOLDER"
            )


def _unlike(
    rows: Iterable[ResultRow],
    key: Callable[[ResultRow], object],
    value: Callable[[ResultRow], object],
) -> tuple[ResultRow, ResultRow] | None:
    """Return two rows of the same key whose values are known and differ."""
    first: dict[object, ResultRow] = {}
    for row in rows:
        if value(row) is not None:
            other = first.setdefault(key(row), row)
            if value(row) != value(other):
                return other, row
    return None


def _split_name(source: str) -> tuple[str, pathlib.Path]:
    """Split `METHOD=PATH`; a path that exists may hold `=` itself."""
    if "=" not in source or pathlib.Path(source).exists():
        return "", pathlib.Path(source)
    name, _, path = source.partition("=")
    if not name or not path:
        raise UserError(f"{source!r} lacks a method or a folder; expected METHOD=FOLDER")
    return name, pathlib.Path(path)


def read_run(workdir: pathlib.Path, method: str, split: str) -> list[ResultRow]:
    """Read the scores of an evaluated run, one row a task.

    Raises:
        UserError: it is no run, was not evaluated on the split, or has no maps.
    """
    config = load_config(workdir)
    try:
        data = {task: view.data for task, view in task_configs(config).items()}
        datasets = {task: (view.dataset, tuple(view.classes)) for task, view in data.items()}
        several = bool(config.tasks)
    except (AttributeError, KeyError) as error:
        raise UserError(f"{workdir / 'config.json'} is damaged: {error}") from None
    rows = []
    for task, (dataset, classes) in datasets.items():
        if not get_task(task).has_classes:
            raise UserError(f"{workdir} is a run of the task {task}, which has no F1; leave it out")
        name = f"scores_{split}_{task}.json" if several else f"scores_{split}.json"
        path = workdir / "report" / name
        rows.append(_read_scores(path, method, (task, dataset, classes), workdir, split))
    return rows


def _read_scores(
    path: pathlib.Path,
    method: str,
    trained_on: tuple[str, str, tuple[str, ...]],
    workdir: pathlib.Path,
    split: str,
) -> ResultRow:
    """Foreground F1 and IoU, and what they were measured on; `trained_on`: task, data, classes."""
    task, dataset, classes = trained_on
    evaluation = (
        f"python -m noise2map_jax.main --workdir={workdir} --mode=eval --config.eval.split={split}"
    )
    if not path.is_file():
        raise UserError(f"{path} is missing; evaluate the run first: {evaluation}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        scores, protocol = content["scores"]["all tiles"], str(content["protocol"])
        f1 = float(scores["f1/foreground"])
        ious = [float(scores[f"iou/{name}"]) for name in classes[1:]]
        step = int(content["step"])
        is_of_now = content.keys() >= PREDICTED
        records = str(content.get("records"))
        timesteps = " ".join(str(int(t)) for t in content.get("inference_timesteps", ()))
        draws = int(content.get("num_noise_draws", 0))
        differs = tuple(map(str, content.get("differs_from_training", ())))
        dataset = str(content.get("dataset", dataset))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path} holds no scores ({error!r}); evaluate the run again") from None
    if not is_of_now:
        raise UserError(
            f"{path} does not say on which records it was scored, and how it was predicted: an "
            f"earlier version wrote it; evaluate the run again: {evaluation}"
        )
    best = saved_steps(workdir / "checkpoints" / "best")
    if best and step != max(best):
        raise UserError(
            f"{path} is of step {step}, but the best checkpoint of {workdir} is now that of step "
            f"{max(best)}; evaluate the run again: {evaluation}"
        )
    defined = [value for value in ious if not math.isnan(value)]
    if math.isnan(f1) or not defined:
        raise UserError(f"{path}: F1 is not defined, the split has no foreground; leave it out")
    iou = sum(defined) / len(defined)
    return ResultRow(
        method,
        f"{task} {dataset}",
        100 * f1,
        100 * iou,
        protocol,
        records,
        timesteps,
        draws,
        differs,
    )


def read_study(workdir: pathlib.Path, split: str) -> list[ResultRow]:
    """Read the scores of a study, one row a variant.

    Raises:
        UserError: it has no scores on the split, or does not say of which they are.
    """
    path = workdir / STUDY_TABLES.get(split, STUDY_TABLES["val"])
    if not path.is_file():
        raise UserError(
            f"{workdir} has no scores on {split}: studies compare on val (--split=val), and test "
            "is opened by --mode=final"
        )
    return read_table(path, split, needs_split=True)


def read_table(path: pathlib.Path, split: str, *, needs_split: bool = False) -> list[ResultRow]:
    """Read a table with the columns method, dataset, f1 and iou (in percent), and maybe others.

    Args:
        path: of the table.
        split: what a column `split` has to say, where there is one.
        needs_split: whether there has to be one.

    Raises:
        UserError: naming the line and what is wrong in it.
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
            if needs_split and "split" not in header:
                raise UserError(
                    f"{path} does not say of which split its scores are: an earlier version wrote "
                    "it; run the study again with --mode=ablate, which trains nothing anew"
                )
            reader.fieldnames = header
            rows = [_read_line(line, f"{path}, line {reader.line_num}", split) for line in reader]
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no CSV table in UTF-8: {error}") from None
    if not rows:
        raise UserError(f"{path} has a header and no rows; expected one a method and dataset")
    return rows


def _read_line(line: dict[str, str | None], where: str, split: str) -> ResultRow:
    found = (line.get("split") or split).strip()
    if found != split:
        raise UserError(f"{where}: the scores are of {found}, not of {split}; see --split")
    method, dataset, *numbers = ((line[name] or "").strip() for name in COLUMNS)
    if not method or not dataset:
        raise UserError(f"{where}: {'dataset' if method else 'method'} is empty")
    values = []
    for name, text in zip(COLUMNS[2:], numbers, strict=True):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if math.isnan(value):
            raise UserError(f"{where}: {name} is {text!r}; expected a number in percent")
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
    return ResultRow(method, dataset, f1, iou, protocol, records, timesteps, known)
