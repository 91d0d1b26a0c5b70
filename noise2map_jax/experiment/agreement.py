"""Check before a run starts that its processes agree; if not, all end with the same reason."""

import functools
import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

import noise2map_jax
from noise2map_jax import strict_json
from noise2map_jax.buckets.names import shown
from noise2map_jax.buckets.work_folder import is_own_copy
from noise2map_jax.devices.checkpoint import saved_steps
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.config_fields import fields
from noise2map_jax.experiment.experiment import Experiment
from noise2map_jax.experiment.field_rules import May, names

Facts = dict[str, Any]  # name for people -> JSON value that all processes must share
T = TypeVar("T")


def agreed(prepare: Callable[[], T], facts: Callable[[T], Facts]) -> T:
    """Prepare a run on every process, and check that all of them prepared the same.

    Args:
        prepare: makes the run; the same function on all processes.
        facts: returns the facts to compare, given the result of `prepare`.

    Returns:
        The result of `prepare`.

    Raises:
        UserError: on every process, if one of them could not prepare or differs from the first.
    """
    if jax.process_count() == 1:
        return prepare()
    made, mistake, own = None, "", Facts()
    try:
        made = prepare()
        own = facts(made)
    except UserError as error:
        mistake = shown(str(error))
    everyone = _gather({"process": jax.process_index(), "mistake": mistake, "facts": own})
    if problem := mistakes([one["mistake"] for one in everyone]):
        raise UserError(problem)
    if problem := disagreements([one["facts"] for one in everyone]):
        raise UserError(problem)
    assert made is not None  # no process made a mistake
    return made


def facts_of(experiment: Experiment, workdir: pathlib.Path, mode: str) -> Facts:
    """Return the facts that all processes of a run must share."""
    return {
        "--mode": mode,
        "--workdir": shown(workdir),  # a process with another name would save in another place
        **fields(experiment.config, without=names(May.BE_OF_HOST)),
        **{f"the records of task {task}": d for task, d in experiment.digests.items()},
        **{
            f"the {kind} checkpoint in the work folder": max(
                saved_steps(workdir / "checkpoints" / kind), default=None
            )
            for kind in ("latest", "best")
            if not is_own_copy(workdir)  # of which the first process alone has checkpoints
        },
        "the version of noise2map_jax": noise2map_jax.__version__,
        "the source code of noise2map_jax": source_digest(),
        "the version of jax": jax.__version__,
    }


@functools.cache
def source_digest() -> str:
    """SHA-256 over the package's source files and their names."""
    folder, digest = pathlib.Path(noise2map_jax.__file__).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def mistakes(by_process: Sequence[str]) -> str:
    """Say in one line which processes made which mistakes; empty if none did."""
    if len(set(by_process)) == 1:  # all made the same mistake, or none
        return by_process[0]
    alike = _alike({process: text for process, text in enumerate(by_process) if text})
    return "; ".join(f"{_named(processes)}: {text}" for text, processes in alike.items())


def disagreements(by_process: Sequence[Mapping[str, Any]]) -> str:
    """Say in one line which processes differ from the first, and in what; empty if none do."""
    first, texts = by_process[0], {}
    for process, own in enumerate(by_process):
        differing = [
            f"{name} ({_short(own.get(name))}, not {_short(first.get(name))})"
            for name in sorted(first.keys() | own.keys())
            if own.get(name) != first.get(name)
        ]
        if differing:
            texts[process] = ", ".join(differing)
    if not texts:
        return ""
    parts = [f"{_named(p)} in {text}" for text, p in _alike(texts).items()]
    return (
        f"processes of one run differ from process 0: {'; '.join(parts)}; start all of them with "
        "the same command, code, data and --workdir"
    )


def _alike(texts: Mapping[int, str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for process, text in texts.items():
        found.setdefault(text, []).append(process)
    return found


def _named(processes: Sequence[int]) -> str:
    return f"process{'es' if len(processes) > 1 else ''} {', '.join(map(str, processes))}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:16]}..."


def _gather(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Exchange JSON between all processes; return one entry a process, in their order."""
    text = np.frombuffer(strict_json.dumps(content).encode(), np.uint8)
    longest = int(np.max(multihost_utils.process_allgather(np.int32(text.size))))
    padded = np.pad(text, (0, longest - text.size))
    rows = multihost_utils.process_allgather(padded)
    found = [json.loads(row.tobytes().rstrip(b"\0")) for row in np.asarray(rows)]
    return sorted(found, key=lambda one: one["process"])
