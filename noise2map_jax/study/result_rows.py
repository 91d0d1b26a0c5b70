"""Scores of methods on datasets, read from evaluated runs, studies and tables."""

import json
import math
import pathlib
from collections.abc import Callable, Iterable

from noise2map_jax.buckets.address import is_address
from noise2map_jax.buckets.copies import local
from noise2map_jax.devices.checkpoint import saved_steps
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.run_config import load_config
from noise2map_jax.experiment.task_configs import task_configs
from noise2map_jax.method.metrics import class_keys
from noise2map_jax.method.tasks import get_task
from noise2map_jax.study.result_row import ResultRow
from noise2map_jax.study.result_table import read_table

# Tables of a study by split.
STUDY_TABLES = {
    "val": pathlib.PurePath("report", "results.csv"),
    "test": pathlib.PurePath("report", "final.csv"),
}


# Fields of a score file that describe the evaluation, besides the protocol.
PREDICTED = {"records", "inference_timesteps", "num_noise_draws"}
# Settings of prediction that another evaluation of the same run may change.
PREDICTION: dict[str, Callable[[ResultRow], object]] = {
    "t =": lambda row: row.timesteps,
    "draws of noise:": lambda row: row.draws,
}


def read_results(sources: Iterable[str], split: str) -> list[ResultRow]:
    """Read the scores of all sources on the command line.

    Args:
        sources: folders of runs, `METHOD=FOLDER`, folders of studies, CSV tables.
        split: split of the scores. A table of another split is refused; a table without a column
            `split` is accepted.

    Raises:
        UserError: a source cannot be used or is named twice, or scores of one dataset are not
            comparable. The message names the first such source and the reason.
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
    _check_protocols([row for row in rows if row.published is None])
    return rows


def _check_protocols(rows: list[ResultRow]) -> None:
    """Raise if rows of one dataset differ in records, or runs of one method in prediction.

    Different methods may predict at different timesteps; runs of one method are averaged.
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
            f"{one.method} and {other.method} were not scored on the same {one.dataset}: the "
            "dataset was built anew in between; evaluate both again"
        )
    for what, of_row in PREDICTION.items():
        if pair := _unlike(rows, lambda row: (row.method, row.dataset), of_row):
            one, other = pair
            raise UserError(
                f"runs of {one.method} predicted {one.dataset} with {what} {of_row(one)} and "
                f"{of_row(other)}, so they cannot be averaged; evaluate them alike, or give each a "
                "name: METHOD=FOLDER"
            )


def _unlike(
    rows: Iterable[ResultRow],
    key: Callable[[ResultRow], object],
    value: Callable[[ResultRow], object],
) -> tuple[ResultRow, ResultRow] | None:
    """Return two rows with the same key and different known values; None if there are none."""
    first: dict[object, ResultRow] = {}
    for row in rows:
        if value(row) is not None:
            other = first.setdefault(key(row), row)
            if value(row) != value(other):
                return other, row
    return None


def _split_name(source: str) -> tuple[str, pathlib.Path]:
    """Split `METHOD=PATH`; an existing path may contain `=` itself."""
    is_place = is_address(source.partition("=")[0]) or pathlib.Path(source).exists()
    if "=" not in source or is_place:
        return "", local(source)
    name, _, path = source.partition("=")
    if not name or not path:
        raise UserError(f"{source!r} lacks a method or a folder; expected METHOD=FOLDER")
    return name, local(path)


def read_run(workdir: pathlib.Path, method: str, split: str) -> list[ResultRow]:
    """Read the scores of an evaluated run, one row a task.

    Raises:
        UserError: the folder is no run, the run was not evaluated on the split, or it has no maps.
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
            raise UserError(f"{workdir} is a run of task {task}, which has no F1; leave it out")
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
    """Read foreground F1 and IoU with their protocol; `trained_on`: task, dataset, classes."""
    task, dataset, classes = trained_on
    evaluation = (
        f"python -m noise2map_jax.main --workdir={workdir} --mode=eval --config.eval.split={split}"
    )
    if not path.is_file():
        raise UserError(f"{path} is missing; evaluate the run first: {evaluation}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        scores, protocol = content["scores"]["all tiles"], str(content["protocol"])
        # null, and NaN in files of earlier versions: not defined.
        keys = ["f1/foreground", *(f"iou/{key}" for key in class_keys(classes)[1:])]
        f1, *ious = (math.nan if scores[key] is None else float(scores[key]) for key in keys)
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
            f"{path} does not say which records were scored and how they were predicted, because "
            f"an earlier version wrote it; evaluate the run again: {evaluation}"
        )
    best = saved_steps(workdir / "checkpoints" / "best")
    if best and step != max(best):
        raise UserError(
            f"{path} has scores of step {step}, but the best checkpoint of {workdir} is now of "
            f"step {max(best)}; evaluate the run again: {evaluation}"
        )
    defined = [value for value in ious if not math.isnan(value)]
    iou = math.nan if math.isnan(f1) or not defined else sum(defined) / len(defined)
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
        UserError: the study has no scores on the split, or its table does not name the split.
    """
    path = workdir / STUDY_TABLES.get(split, STUDY_TABLES["val"])
    if not path.is_file():
        raise UserError(
            f"{workdir} has no scores on {split}: studies compare on val (--split=val), and "
            "--mode=final adds scores on test"
        )
    return read_table(path, split, needs_split=True)
