"""Saving and restoring with Orbax: the newest state to go on from, the best to predict with."""

import contextlib
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from noise2map_jax.errors import UserError

# What the storage library says of a system call: "...: No space left on device [os_error_code=...".
_SYSTEM_ERROR = re.compile(r": ([^:\[]+) \[os_error_code=")


def _meet(*, key: str, timeout_ms: int) -> None:
    """Wait for the other processes; not while an exception is on its way, as one of saving is.

    Orbax would first wait for the others, who wait for what does not come, and only then fail. So
    nothing may be saved within an `except` or `finally`.
    """
    if sys.exception() is None:
        ocp.multihost.get_barrier_sync_fn()(key=key, timeout_ms=timeout_ms)


class SaveError(UserError):
    """A checkpoint that cannot be written by this process; others may be waiting for it."""


class Checkpoints:
    """The checkpoints of one run: `latest/<step>` and `best/<step>`.

    Saving is asynchronous and atomic: a checkpoint that was cut off is not seen again.
    """

    def __init__(self, folder: str | pathlib.Path, *, max_to_keep: int = 1):
        path = epath.Path(folder).resolve()
        self._latest = ocp.CheckpointManager(
            path / "latest",
            item_handlers=ocp.StandardCheckpointHandler(),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=max_to_keep, async_options=ocp.AsyncOptions(barrier_sync_fn=_meet)
            ),
        )
        self._best = ocp.CheckpointManager(
            path / "best",
            item_handlers=ocp.StandardCheckpointHandler(),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=1,
                best_fn=lambda metrics: metrics["score"],
                best_mode="max",
                async_options=ocp.AsyncOptions(barrier_sync_fn=_meet),
            ),
        )

        best = self._best.best_step()
        # Kept here: Orbax reads it from the disk, where it is not before the save is done.
        self._best_score = (
            float("-inf") if best is None else float(self._best.metrics(best)["score"])
        )

    def latest_step(self) -> int | None:
        """Step of the newest state; None when there is none."""
        return self._latest.latest_step()

    def best_step(self) -> int | None:
        """Step of the best parameters; None when there are none."""
        return self._best.best_step()

    def best_score(self) -> float:
        """Score of the best parameters; minus infinity when there are none."""
        return self._best_score

    def save_latest(self, step: int, state: Any) -> None:
        """Save the whole state, to go on from."""
        if step != self.latest_step():
            with _named_failure(self._latest.directory):
                self._latest.save(step, args=ocp.args.StandardSave(state), force=True)

    def save_best(self, step: int, params: Any, score: float) -> None:
        """Save the parameters to evaluate and predict with."""
        # A run that was killed and restarted comes by the same step with the same parameters.
        self._best_score = score
        if step not in self._best.all_steps():
            with _named_failure(self._best.directory):
                self._best.save(
                    step,
                    args=ocp.args.StandardSave({"params": params}),
                    metrics={"score": score},
                    force=True,
                )

    def restore_latest(self, abstract_state: Any) -> Any:
        """Restore the newest state.

        Args:
            abstract_state: tree of `jax.ShapeDtypeStruct` with shardings.

        Raises:
            UserError: there is none, or it is of another architecture.
        """
        return self._restore(self._latest, self.latest_step(), abstract_state)

    def restore_best(self, abstract_params: Any) -> Any:
        """Restore the best parameters; arguments and errors as in `restore_latest`."""
        tree = {"params": abstract_params}
        return self._restore(self._best, self.best_step(), tree)["params"]

    def wait(self) -> None:
        """Block until everything is on disk.

        Raises:
            SaveError: it cannot be written; what was on disk before is kept.
        """
        for manager in (self._best, self._latest):
            with _named_failure(manager.directory):
                manager.wait_until_finished()

    def close(self) -> None:
        """Wait, then release the threads."""
        self.wait()
        self._latest.close()
        self._best.close()

    def _restore(self, manager: ocp.CheckpointManager, step: int | None, abstract: Any) -> Any:
        if step is None:
            raise UserError(f"no checkpoint in {str(manager.directory)!r}; train first")
        saved = manager.item_metadata(step)
        _check_same_architecture(saved, abstract, f"{manager.directory}/{step}")
        return manager.restore(step, args=ocp.args.StandardRestore(abstract))


@contextlib.contextmanager
def _named_failure(folder: epath.Path) -> Iterator[None]:
    """Say in a line that the disk is full, or what else kept a checkpoint from being written.

    Saving is asynchronous: the failure of one save is met at the next one, or when it is waited
    for.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        found = _SYSTEM_ERROR.search(str(error))
        reason = found[1] if found else getattr(error, "strerror", None)
        if not reason:
            raise
        steps = saved_steps(pathlib.Path(folder))
        kept = f"that of step {max(steps)} is kept" if steps else "there is none before it"
        raise SaveError(
            f"a checkpoint cannot be written in {str(folder)!r}: {reason}; {kept}. Once it can be, "
            "the same command goes on"
        ) from None


def saved_steps(folder: pathlib.Path) -> list[int]:
    """Steps of the whole checkpoints in a folder, without opening it."""
    return sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit())


def abstract_like(tree: Any, shardings: Any) -> Any:
    """Describe a tree of arrays for restoring, or compiling: shapes, types and where they go.

    Args:
        tree: arrays, or their shapes.
        shardings: one for all, or a tree of the same structure.
    """
    return jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        tree,
        jax.tree.broadcast(shardings, tree),
    )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        "/".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path): (
            tuple(leaf.shape)
        )
        for path, leaf in leaves
        if hasattr(leaf, "shape")
    }


def _check_same_architecture(saved: Any, expected: Any, where: str) -> None:
    """Compare names and shapes, and name the first difference."""
    before, now = _shapes(saved), _shapes(expected)
    problem = None
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            problem = f"has {name} {before[name]}, which this config's model has not"
        elif name not in before:
            problem = f"lacks {name} {now[name]} of this config's model"
        elif before[name] != now[name]:
            problem = f"has {name} {before[name]}, this config's model {now[name]}"
        if problem:
            raise UserError(
                f"checkpoint {where} is of another architecture: it {problem}; "
                "use its config or another --workdir"
            )
