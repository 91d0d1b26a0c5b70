"""The model card of exported weights: Markdown, with the front matter that the hub reads."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from noise2map_jax import strict_json
from noise2map_jax.experiment.components import count_params
from noise2map_jax.experiment.network_choice import sees_noise
from noise2map_jax.method.tasks import TASKS
from noise2map_jax.network.interface import find_head
from noise2map_jax.steps.optimizer import BACKBONES
from noise2map_jax.weights.finished_run import FinishedRun
from noise2map_jax.weights.layout import About

# Fields of `data` that affect how records are read, but not their content.
MACHINE_FIELDS = ("data_dir", "num_threads", "prefetch_size")
METRICS = {"f1": "F1", "iou": "IoU", "precision": "precision", "recall": "recall"}


def model_card(
    run: FinishedRun, about: About, files: Mapping[str, str], config: Mapping[str, Any]
) -> str:
    """Write a model card.

    Args:
        run: the exported run.
        about: what is said of its network.
        files: description of each file beside the card, by file name.
        config: the run's config as the card shows it.

    Returns:
        The text of `README.md`.
    """
    tasks = [head.task for head in run.model.heads]
    parts = [
        _front_matter(tasks, about.tags),
        f"# {about.title}: {', '.join(tasks)}\n",
        about.introduction,
        "## Files\n",
        _table(("file", "what"), [(f"`{name}`", what) for name, what in files.items()]),
        "## Use\n",
        *about.uses,
        "## Training\n",
        _training(run, config),
        *[_task(name, run) for name in tasks],
        "## Scores\n",
        *(_scores(name, result, run) for name, result in run.scores.items()),
    ]
    if not run.scores:
        parts.append(
            "Not evaluated. Score the run on a split with `--mode=eval`, then export it again.\n"
        )
    text = strict_json.dumps(config, indent=2)
    parts += ["## Config\n", f"```json\n{text}\n```\n"]
    if about.citation:
        parts += ["## Citation\n", about.citation]
    return "\n".join(parts)


def _front_matter(tasks: list[str], of_network: Sequence[str]) -> str:
    tags = [*of_network, "remote-sensing", "jax", "flax"]
    tags += [TASKS[task].title.replace(" ", "-") for task in tasks]
    maps = any(TASKS[task].has_classes for task in tasks)
    pipeline = "image-segmentation" if maps else "unconditional-image-generation"
    lines = [
        "---",
        "# license: choose one before you publish this",
        "library_name: noise2map_jax",
    ]
    lines += [f"pipeline_tag: {pipeline}", "tags:", *(f"- {tag}" for tag in tags), "---", ""]
    return "\n".join(lines)


def _training(run: FinishedRun, config: Mapping[str, Any]) -> str:
    train = run.config.train
    backbone = {name: value for name, value in run.params.items() if name in BACKBONES}
    share, power = train.scene_share, train.place_power
    turns = ", places in turn" if train.share_by_place else ""
    averaged = f"averaged weights (decay {train.ema_decay:g})" if train.ema_decay else "weights"
    rows = [
        ("parameters", f"the {averaged} of step {run.step:,}, {_chosen(run)}"),
        *([("backbone", f"{count_params(backbone):,} parameters")] if backbone else []),
        ("all", f"{count_params(run.params):,} parameters"),
        ("tile side in the network", f"{run.sample_size} pixels{_patches(config)}"),
        *([("share of the training scenes", f"{share:g}{turns}")] if share != 1 else []),
        *([("tiles of a place with n", f"read as n ** {power:g}")] if power != 1 else []),
        *_mixture(config, train.initial_share),
        (
            "started from",
            f"`{config['init_from']}`" if config.get("init_from") else "random values",
        ),
        ("batch", train.batch_size),
        ("optimizer", f"{train.optimizer}, learning rate {train.learning_rate:g}"),
        ("seed", run.config.seed),
    ]
    return _table(("", ""), rows)


def _mixture(config: Mapping[str, Any], share: float) -> list[tuple[str, str]]:
    """Say how much of the weights that training began with is in those that were kept."""
    if not share or not config.get("init_from"):
        return []
    return [("mixed", f"{1 - share:.3g} x trained weights + {share:.3g} x those started from")]


def _patches(config: Mapping[str, Any]) -> str:
    """Say that the authors' code lacks something that this network has."""
    side = config.get("model", {}).get("patch_size", 1)
    what = f", patches of {side} x {side} as one (`model.patch_size`, not in the authors' code)"
    return what if side > 1 else ""


def _chosen(run: FinishedRun) -> str:
    validated = run.config.train.validate
    return "which scored best on validation" if validated else "the last, without validation"


def _task(name: str, run: FinishedRun) -> str:
    """Describe a task: its classes, data and noise."""
    view = run.views[name]
    data = {k: v for k, v in view.data.items() if k not in MACHINE_FIELDS}
    if not TASKS[name].has_classes:
        del data["classes"]
    else:
        data["classes"] = "; ".join(f"{i} = {c}" for i, c in enumerate(view.data.classes))
    head = find_head(run.model, name)
    rows = [("inputs, outputs", f"{head.num_inputs}, {head.num_outputs} channels")]
    rows += [(f"data.{key}", _plain(value)) for key, value in data.items()]
    if sees_noise(view):
        rows += [(f"noise.{key}", _plain(value)) for key, value in view.noise.items()]
    else:
        rows.append(("noise", "none: the network gets the clean input"))
    task = TASKS[name]
    title = f"### `{name}`: {task.title}, {task.description}\n"
    return f"{title}\n{_table(('field', 'value'), rows)}"


def _scores(file: str, result: Mapping[str, Any], run: FinishedRun) -> str:
    """Write the scores of one split, with the data and the settings of prediction."""
    step = run.step
    at = result.get("inference_timesteps", result.get("inference_timestep"))
    lines = [f"`{file}`: {result['protocol']}.", ""]
    draws = result.get("num_noise_draws", 0)
    averaged = f", mean over {draws} draws of Gaussian noise" if draws else ""
    noised = any(map(sees_noise, run.views.values()))
    predicted = f", predicted at t = {_plain(at)}{averaged}" if noised else ""
    lines += [f"Checkpoint of step {result['step']:,}{predicted}.", ""]
    if result["step"] != step:
        lines += [
            f"**These are not scores of the weights here**, which are of step {step:,}: evaluate "
            "again.",
            "",
        ]
    if changed := result.get("differs_from_training"):
        lines += [f"The evaluation differs from training in: {', '.join(changed)}.", ""]
    for group, scores in result["scores"].items():
        names = [key.removeprefix("iou/") for key in scores if key.startswith("iou/")]
        lines += [f"On {group} ({scores.get('tiles', '?')} tiles):", ""]
        if names:
            rows = [
                (name, *(_percent(scores.get(f"{metric}/{name}")) for metric in METRICS))
                for name in names
            ]
            lines.append(_table(("in %", *METRICS.values()), rows))
        else:
            lines.append(_table(("", ""), [(k, _plain(v)) for k, v in scores.items()]))
    return "\n".join(lines)


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def _plain(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "n/a"
    if isinstance(value, (list, tuple)):
        items = (f"({_plain(v)})" if isinstance(v, (list, tuple)) else _plain(v) for v in value)
        return ", ".join(items) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _percent(value: float | None) -> str:
    return "n/a" if value is None or math.isnan(value) else f"{100 * value:.2f}"
