"""Checkpoints with Orbax: the newest state, to resume, and the best parameters, to predict."""

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

# How the storage library reports a system call: "...: No space left on device [os_error_code=...".
_SYSTEM_ERROR = re.compile(r": ([^:\[]+) \[os_error_code=")


def _meet(*, key: str, timeout_ms: int) -> None:
    """Wait for the other processes, but not while an exception is being handled.

    When saving fails, Orbax would first wait for the other processes, which wait for this one, and
    only then raise. Because of this check nothing may be saved within an `except` or `finally`.
    """
    if sys.exception() is None:
        ocp.multihost.get_barrier_sync_fn()(key=key, timeout_ms=timeout_ms)


class SaveError(UserError):
    """This process cannot write a checkpoint; other processes may be waiting for it."""


class Checkpoints:
    """The checkpoints of one run: `latest/<step>` and `best/<step>`.

    Saving is asynchronous and atomic: an incomplete checkpoint is never listed or restored.
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
        # Kept here, because Orbax reads the score from disk, where it is only after the save.
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
        """Save the whole training state, to resume from."""
        if step != self.latest_step():
            with _named_failure(self._latest.directory):
                self._latest.save(step, args=ocp.args.StandardSave(state), force=True)

    def save_best(self, step: int, params: Any, score: float) -> None:
        """Save the parameters to evaluate and predict with."""
        # A run that was killed and restarted reaches the same step with the same parameters.
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
            UserError: there is no state, or it belongs to another architecture.
        """
        return self._restore(self._latest, self.latest_step(), abstract_state)

    def restore_best(self, abstract_params: Any) -> Any:
        """Restore the best parameters; arguments and errors as in `restore_latest`."""
        tree = {"params": abstract_params}
        return self._restore(self._best, self.best_step(), tree)["params"]

    def wait(self) -> None:
        """Block until everything is on disk.

        Raises:
            SaveError: a checkpoint cannot be written; earlier ones on disk are kept.
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
    """Raise one line that says why a checkpoint could not be written, such as a full disk.

    Saving is asynchronous: a save that failed raises during the next save, or in `wait`.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        found = _SYSTEM_ERROR.search(str(error))
        reason = found[1] if found else getattr(error, "strerror", None)
        if not reason:
            raise
        steps = saved_steps(pathlib.Path(folder))
        kept = f"the one of step {max(steps)} is kept" if steps else "there is no earlier one"
        raise SaveError(
            f"a checkpoint cannot be written in {str(folder)!r}: {reason}; {kept}. Mend that and "
            "run the same command again to continue"
        ) from None


def saved_steps(folder: pathlib.Path) -> list[int]:
    """Steps of the complete checkpoints in a folder, read from file names alone."""
    return sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit())


def abstract_like(tree: Any, shardings: Any) -> Any:
    """Describe a tree of arrays for restoring or compiling, by shapes, types and shardings.

    Args:
        tree: arrays, or their shapes.
        shardings: one sharding for all arrays, or a tree of the same structure.
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
    """Compare names and shapes of parameters; raise on the first difference."""
    before, now = _shapes(saved), _shapes(expected)
    problem = None
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            problem = f"has {name} {before[name]}, which this config's model lacks"
        elif name not in before:
            problem = f"lacks {name} {now[name]} of this config's model"
        elif before[name] != now[name]:
            problem = f"has {name} {before[name]}, but this config's model has {now[name]}"
        if problem:
            raise UserError(
                f"checkpoint {where} belongs to another architecture: it {problem}; "
                "use its config or another --workdir"
            )
