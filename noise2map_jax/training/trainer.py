"""The training loop, for one network or several at once; it compiles once and can resume."""

import contextlib
import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from noise2map_jax.devices import checkpoint, sharding
from noise2map_jax.devices.execution import Execution, HostBatch
from noise2map_jax.devices.preemption import Preempted, PreemptionWatch
from noise2map_jax.experiment.experiment import Experiment, num_train_steps
from noise2map_jax.experiment.run_config import check_same_numbers
from noise2map_jax.progress import progress_bar
from noise2map_jax.steps import optimizer
from noise2map_jax.steps.step_functions import step_and_init
from noise2map_jax.training.learner import Learner, each
from noise2map_jax.training.profile import check_profile_steps, create_profile
from noise2map_jax.training.reading import read_batches
from noise2map_jax.training.start import Start, first_start
from noise2map_jax.training.throughput import Throughput, create_throughput
from noise2map_jax.training.validation import create_validation


@dataclasses.dataclass(frozen=True)
class Run:
    """A network to train: its experiment, and the folder for its files."""

    experiment: Experiment
    workdir: pathlib.Path


class Trainer:
    """Trains networks whose experiments differ only in noise processes, seeds and initial values.

    Args:
        experiment: one of the experiments; all other settings are taken from it.
        execution: the placement of networks on devices, and their number in one call.

    Raises:
        UserError: a field of the config is wrong.
    """

    def __init__(self, experiment: Experiment, execution: Execution):
        options = experiment.config.train
        self.execution = execution
        self.batch_size = options.batch_size
        sharding.check_batch_size(
            self.batch_size,
            1 if execution.is_stacked else execution.mesh.size,
            num_microbatches=options.num_microbatches,
        )
        # An epoch is one pass over the largest of the tasks' training splits.
        num_records = max(o.dataset.num_records("train") for o in experiment.objectives.values())
        self.num_steps = num_train_steps(experiment.config, num_records)
        check_profile_steps(options.profile_steps, self.num_steps)
        epoch = max(1, int(options.scene_share * num_records) // self.batch_size)
        self._eval_every = options.eval_every_steps or epoch
        self._log_every = max(1, options.log_every_steps)
        self._save_every = options.checkpoint_every_steps or self._eval_every
        self._learning_rate = optimizer.learning_rate_schedule(
            options.learning_rate,
            self.num_steps,
            warmup_steps=options.warmup_steps,
            cosine=options.cosine,
        )
        problems = {name: o.problem for name, o in experiment.objectives.items()}
        self.step, self.init = execution.jit(
            *step_and_init(
                experiment.config, experiment.model, problems, self._learning_rate, execution.mesh
            )
        )
        self.validation = create_validation(experiment)

    def start(self, runs: Sequence[Run], folder: pathlib.Path) -> Start:
        """Make the first states of networks, or restore their newest states.

        Args:
            runs: the networks; at most as many as the execution takes.
            folder: the folder that holds the newest states of all networks together; for a single
                network, its work folder.

        Raises:
            UserError: an earlier version started the networks and did not finish them.
        """
        keys = self.root_keys(runs)
        with contextlib.closing(checkpoint.Checkpoints(folder / "checkpoints")) as checkpoints:
            step = checkpoints.latest_step() or 0
            if 0 < step < self.num_steps:
                for run in runs:
                    check_same_numbers(run.workdir)
            if step:
                shapes = jax.eval_shape(self.init, keys)
                placed = self.execution.state_sharding(shapes)
                abstract = checkpoint.abstract_like(shapes, placed)
                none = ("",) * len(runs)
                return Start(checkpoints.restore_latest(abstract), step, none, none)
        return first_start(self.init(keys), [run.experiment for run in runs], self.execution)

    def train(
        self,
        runs: Sequence[Run],
        folder: pathlib.Path,
        start: Start,
        *,
        failures: Sequence[str] = (),
        note_failure: Callable[[int, str], None] = lambda number, failure: None,
    ) -> list[str]:
        """Train to the last step; evaluate on validation; save the newest and the best parameters.

        A network fails when its loss, gradient or parameters are not finite, unless the update is
        skipped. Other networks continue. When all have failed, training ends and the last
        checkpoint stays.

        Args:
            runs: the networks.
            folder: as in `start`.
            start: the states to start from.
            failures: for each network, why it failed in an earlier attempt; empty if it did not.
            note_failure: called with the number of a network and the reason as soon as it fails,
                before anything is saved.

        Returns:
            For each network, why it failed; empty if it did not.

        Raises:
            Preempted: a signal asked to stop; the states are saved.
        """
        state, first_step = start.state, start.step
        processes, keys = self.processes(runs), self.root_keys(runs)
        with contextlib.ExitStack() as stack:
            # Closed last, after the learners' checkpoints; closing waits for a save in progress.
            checkpoints = stack.enter_context(
                contextlib.closing(checkpoint.Checkpoints(folder / "checkpoints"))
            )
            throughput = create_throughput(self.step, runs[0].experiment, self.execution)
            learners = [
                stack.enter_context(
                    contextlib.closing(self._learner(run, i, first_step, throughput))
                )
                for i, run in enumerate(runs)
            ]
            for i, learner in enumerate(learners):
                learner.failure = failures[i] if failures else ""
                learner.note_failure = functools.partial(note_failure, i)
            steps, text = runs[0].experiment.config.train.profile_steps, throughput.program_text
            if profile := create_profile(steps, first_step, folder, text):
                stack.enter_context(contextlib.closing(profile))
            batches = self.batches(runs, first_step)
            images_a_step = self._images_a_step(runs[0]) * len(runs)
            num_images, done = self.num_steps * images_a_step, first_step * images_a_step
            bar = progress_bar(num_images, "train", "images", initial=done)
            stack.enter_context(contextlib.closing(bar))
            watch = stack.enter_context(PreemptionWatch())
            stack.enter_context(jax.transfer_guard("disallow"))

            def evaluate(step: int) -> None:
                params = state.eval_params
                for i, learner in enumerate(learners):
                    if not learner.failure:
                        own = self.execution.member(params, i)
                        if self.validation is None:
                            if step == self.num_steps:
                                learner.keep(own, step)
                            continue
                        learner.evaluate(self.validation, own, step)
                        bar.set_postfix_str(learner.told, refresh=False)

            def save(step: int) -> None:
                # The best must be on disk first. Otherwise a run killed in between would resume
                # here and never evaluate this step again.
                for learner in learners:
                    learner.wait()
                checkpoints.save_latest(step, state)

            # The order is a contract: evaluate, save, read, step, write. A checkpoint is saved only
            # after loss, gradient and parameters of all its steps were checked to be finite, or
            # the update to be skipped.
            for step in range(first_step, self.num_steps):
                stop = watch.reached(step)
                due = step % self._eval_every == 0, step % self._save_every == 0 or stop
                if step > first_step and any(due):
                    if not each(learners, Learner.pull):
                        break
                    if due[0]:
                        evaluate(step)
                    if due[1]:
                        save(step)
                if stop:
                    _stop(step, checkpoints)
                if profile:
                    profile.begin(step + 1, state)
                asked = time.monotonic()
                read = next(batches)
                waited = time.monotonic() - asked
                batch = self.execution.put_batches(read)
                throughput.see(state, batch, processes, keys)
                called = time.monotonic()
                state, metrics = self.step(state, batch, processes, keys)
                dispatching = time.monotonic() - called
                # Checks the metrics of the step before this one, and logs them.
                if not each(learners, Learner.push, step + 1, metrics, waited, dispatching):
                    break
                if profile and profile.ends(step + 1):
                    if not each(learners, Learner.pull):
                        break
                    profile.end(state)
                    each(learners, Learner.restart_clock)
                if step % self._log_every == 0:
                    bar.set_postfix_str(learners[0].told, refresh=False)
                bar.update(images_a_step)
            if each(learners, Learner.pull) and first_step < self.num_steps:
                evaluate(self.num_steps)
                save(self.num_steps)
                if watch.reached(self.num_steps):  # a signal came during the evaluation
                    _stop(self.num_steps, checkpoints)
        return [learner.failure for learner in learners]

    def root_keys(self, runs: Sequence[Run]) -> jax.Array:
        """Make the root key of each network from its seed."""
        seeds = [run.experiment.config.seed for run in runs]
        return self.execution.keys(seeds)

    def processes(self, runs: Sequence[Run]) -> Any:
        """Put the noise processes of each network, by task, onto the devices."""
        return self.execution.stack(
            [{name: o.process for name, o in run.experiment.objectives.items()} for run in runs]
        )

    def batches(self, runs: Sequence[Run], first_step: int) -> Iterator[list[HostBatch]]:
        """Read the batches of each network; networks with the same seed share their batches."""
        seeds = [run.experiment.config.seed for run in runs]
        by_seed = read_batches(
            runs[0].experiment.objectives,
            seeds,
            batch_size=self.batch_size,
            rows=self.execution.rows(self.batch_size),
            first_step=first_step,
        )
        for read in by_seed:
            yield [read[seed] for seed in seeds]

    def _images_a_step(self, run: Run) -> int:
        return self.batch_size * len(run.experiment.objectives)

    def _learner(self, run: Run, number: int, first_step: int, throughput: Throughput) -> Learner:
        return Learner(
            run.experiment,
            run.workdir,
            first_step=first_step,
            learning_rate=self._learning_rate,
            images_a_step=self._images_a_step(run),
            last_step=self.num_steps,
            throughput=throughput,
            member=number if self.execution.is_stacked else None,
        )


def _stop(step: int, checkpoints: checkpoint.Checkpoints) -> None:
    """Wait until the states are on disk, print where training stopped, end the program."""
    checkpoints.wait()
    if jax.process_index() == 0:
        print(
            f"stopped by a signal at step {step}; the same command resumes at step "
            f"{checkpoints.latest_step() or 0}"
        )
    raise Preempted
