"""Checkpoints with Orbax: the newest state, to resume, and the best parameters, to predict.

All processes write into a folder that they share. If each has its own, the copy of a place in
object storage, the first process writes and reads whole arrays, and exchanges them with the others.
"""

import contextlib
import pathlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from noise2map_jax.buckets.work_folder import check_copying, is_own_copy
from noise2map_jax.devices.first_process import gathered, spread, told
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
        self._folder = epath.Path(folder).resolve()
        self._alone = _first_alone(self._folder)
        self._latest = self._best = None
        if not self._alone or jax.process_index() == 0:
            self._latest = self._manager("latest", max_to_keep=max_to_keep)
            self._best = self._manager(
                "best", max_to_keep=1, best_fn=lambda metrics: metrics["score"], best_mode="max"
            )
        # Kept here, because Orbax reads the score from disk, where it is only after the save, and
        # because not every process may have a manager.
        self._latest_step, self._best_step, score = self._asked(self._on_disk)
        self._best_score = float("-inf") if score is None else score

    def _on_disk(self) -> tuple[int | None, int | None, float | None]:
        assert self._latest is not None
        assert self._best is not None
        best = self._best.best_step()
        score = None if best is None else float(self._best.metrics(best)["score"])
        return self._latest.latest_step(), best, score

    def _manager(self, kind: str, **options: Any) -> ocp.CheckpointManager:
        processes = ocp.options.MultiprocessingOptions()
        barrier: Any = _meet
        if self._alone:
            (self._folder / kind).mkdir(parents=True, exist_ok=True)
            processes = ocp.options.MultiprocessingOptions(
                active_processes={0}, barrier_sync_key_prefix=f"first-{kind}"
            )
            barrier = None
        return ocp.CheckpointManager(
            self._folder / kind,
            item_handlers=ocp.StandardCheckpointHandler(multiprocessing_options=processes),
            options=ocp.CheckpointManagerOptions(
                create=not self._alone,
                multiprocessing_options=processes,
                async_options=ocp.AsyncOptions(barrier_sync_fn=barrier),
                **options,
            ),
        )

    def _asked(self, ask: Callable[[], Any]) -> Any:
        return told(ask) if self._alone else ask()

    def latest_step(self) -> int | None:
        """Step of the newest state; None when there is none."""
        return self._latest_step

    def best_step(self) -> int | None:
        """Step of the best parameters; None when there are none."""
        return self._best_step

    def best_score(self) -> float:
        """Score of the best parameters; minus infinity when there are none."""
        return self._best_score

    def save_latest(self, step: int, state: Any) -> None:
        """Save the whole training state, to resume from."""
        if step != self._latest_step:
            self._save(self._latest, "latest", step, state)
            self._latest_step = step

    def save_best(self, step: int, params: Any, score: float) -> None:
        """Save the parameters to evaluate and predict with, if their score is the best so far."""
        # A run that was killed and restarted reaches the same step with the same parameters.
        if step != self._best_step and score >= self._best_score:
            self._save(self._best, "best", step, {"params": params}, metrics={"score": score})
            self._best_step, self._best_score = step, score

    def _save(
        self, manager: ocp.CheckpointManager | None, kind: str, step: int, tree: Any, **more: Any
    ) -> None:
        check_copying(self._folder)
        if self._alone:
            tree = gathered(tree)
        if manager:
            with _named_failure(self._folder / kind):
                manager.save(step, args=ocp.args.StandardSave(tree), force=True, **more)

    def restore_latest(self, abstract_state: Any) -> Any:
        """Restore the newest state.

        Args:
            abstract_state: tree of `jax.ShapeDtypeStruct` with shardings.

        Raises:
            UserError: there is no state, or it belongs to another architecture.
        """
        return self._restore(self._latest, "latest", self._latest_step, abstract_state)

    def restore_best(self, abstract_params: Any) -> Any:
        """Restore the best parameters; arguments and errors as in `restore_latest`."""
        tree = {"params": abstract_params}
        return self._restore(self._best, "best", self._best_step, tree)["params"]

    def wait(self) -> None:
        """Block until everything is on disk.

        Raises:
            SaveError: a checkpoint cannot be written; earlier ones on disk are kept.
        """
        for manager in (self._best, self._latest):
            if manager:
                with _named_failure(manager.directory):
                    manager.wait_until_finished()

    def close(self) -> None:
        """Wait, then release the threads."""
        self.wait()
        for manager in (self._latest, self._best):
            if manager:
                manager.close()

    def _restore(
        self, manager: ocp.CheckpointManager | None, kind: str, step: int | None, abstract: Any
    ) -> Any:
        folder = self._folder / kind
        if step is None:
            raise UserError(f"no checkpoint in {str(folder)!r}; train first")

        def check() -> None:
            assert manager is not None
            with _named_damage(f"{folder}/{step}"):
                saved = manager.item_metadata(step)
            _check_same_architecture(saved, abstract, f"{folder}/{step}")

        self._asked(check)
        if not self._alone:
            assert manager is not None
            return _restored(manager, step, abstract)
        tree = None
        if manager:
            here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
            tree = _restored(manager, step, abstract_like(abstract, here))
        return spread(tree, abstract)


def _restored(manager: ocp.CheckpointManager, step: int, abstract: Any) -> Any:
    """Restore the arrays of a checkpoint whose names are those of `abstract`.

    Orbax compares the parts that hold no array, too, such as an average that is not kept. A state
    of an earlier version lacks the parts that came later, so only arrays are asked for.
    """
    wanted = _by_name(abstract)
    with _named_damage(f"{manager.directory}/{step}"):
        saved = manager.item_metadata(step)
        target = jax.tree_util.tree_map_with_path(lambda path, _: wanted[_name(path)], saved)
        found = _by_name(manager.restore(step, args=ocp.args.StandardRestore(target)))
    return jax.tree.unflatten(jax.tree.structure(abstract), [found[name] for name in wanted])


def _first_alone(folder: epath.Path) -> bool:
    """Whether the first of several processes alone has the checkpoints in a folder."""
    return jax.process_count() > 1 and is_own_copy(pathlib.Path(folder))


def check_best(folder: pathlib.Path) -> None:
    """Raise if there is no folder of best parameters, which Orbax would create.

    Raises:
        UserError: there is none.
    """

    def check() -> None:
        if not (folder / "best").is_dir():
            raise UserError(f"no checkpoint in {str(folder)!r}; train first")

    told(check) if _first_alone(folder) else check()


@contextlib.contextmanager
def _named_damage(where: str) -> Iterator[None]:
    """Raise one line that says which checkpoint cannot be read."""
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise UserError(_damaged(where, reason)) from error


def _damaged(where: str, reason: str) -> str:
    return f"checkpoint {where} is damaged ({reason}); put a copy there, or use another --workdir"


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


def _by_name(tree: Any) -> dict[str, Any]:
    """Return the leaves of a tree by their paths, in the order of the tree."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {_name(path): leaf for path, leaf in leaves}


def _name(path: tuple[Any, ...]) -> str:
    return "/".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path)


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = _by_name(tree).items()
    return {name: tuple(leaf.shape) for name, leaf in leaves if hasattr(leaf, "shape")}


def _check_same_architecture(saved: Any, expected: Any, where: str) -> None:
    """Compare names and shapes of parameters; raise on the first difference."""
    before, now = _shapes(saved), _shapes(expected)
    if not before:
        raise UserError(_damaged(where, "it lists no arrays"))
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
