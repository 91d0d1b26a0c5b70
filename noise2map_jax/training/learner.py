"""A network in training: its log, its scores, its best parameters, and whether it has failed."""

import contextlib
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax

from noise2map_jax.devices import checkpoint
from noise2map_jax.evaluation.number_text import number
from noise2map_jax.experiment.experiment import Experiment
from noise2map_jax.experiment.run_config import record_config
from noise2map_jax.training.throughput import Throughput
from noise2map_jax.training.train_log import TrainLog
from noise2map_jax.training.validation import Validation, draw_samples
from noise2map_jax.training.writer import MetricWriter


class Learner:
    """One network in training, and its work folder.

    Args:
        experiment: the experiment to learn.
        workdir: the folder for its files.
        first_step: first step of this attempt.
        learning_rate: step -> learning rate, for the log.
        images_a_step: number of images of a step, for the log.
        last_step: number of steps of the whole run.
        throughput: turns time into TFLOP/s, for the log.
        member: number of this network among several in a call; None if it is the only one.
    """

    def __init__(
        self,
        experiment: Experiment,
        workdir: pathlib.Path,
        *,
        first_step: int,
        learning_rate: Callable[[int], Any],
        images_a_step: int,
        last_step: int,
        throughput: Throughput,
        member: int | None = None,
    ):
        self._experiment, self._workdir = experiment, workdir
        self._writer = None
        if jax.process_index() == 0:
            record_config(experiment.config, workdir, experiment.digests, first_step)
            self._writer = MetricWriter(workdir, first_step=first_step)
        self._log = TrainLog(
            self._writer,
            learning_rate,
            images_a_step,
            experiment.config.train.log_every_steps,
            last_step=last_step,
            member=member,
            throughput=throughput,
        )
        self._checkpoints = checkpoint.Checkpoints(workdir / "checkpoints")
        self._scores = ""  # of the last evaluation, for people
        self.failure = ""  # the reason why training of this network has stopped
        self.note_failure: Callable[[str], None] = lambda reason: None

    def push(self, step: int, metrics: Any, waited: float, dispatching: float) -> None:
        """Store the metrics of a dispatched step, and check those of the step before."""
        self._log.push(step, metrics, waited, dispatching)

    def pull(self) -> None:
        """Check the metrics of the last dispatched step."""
        self._log.pull()

    def restart_clock(self) -> None:
        """Restart the clock that measures speed, after work that is not training."""
        self._log.restart_clock()

    @property
    def told(self) -> str:
        """Loss, scores and speed for people, in one line."""
        parts = (
            f"loss {number(self._log.last_loss, '.4f')}",
            self._scores,
            self._log.describe_speed(),
        )
        return ", ".join(filter(None, parts))

    def evaluate(self, validation: Validation, params: Any, step: int) -> None:
        """Score parameters on the validation split, and save them if they are the best so far."""
        result = validation(params, self._experiment)
        if self._writer:
            self._writer.write_scalars(step, result.scalars())
        # Where nothing can be measured, the last parameters count as the best.
        score = float(step) if math.isnan(result.score) else result.score
        if score > self._checkpoints.best_score():
            self._checkpoints.save_best(step, params, score)
        draw_samples(self._experiment, params, step, self._writer, self._workdir)
        self._log.restart_clock()
        best = self._checkpoints.best_step()
        self._scores = f"val {result.headline()}, best at step {best}"

    def keep(self, params: Any, step: int) -> None:
        """Save parameters as the best without a score: those of the last step, not validated."""
        self._checkpoints.save_best(step, params, float(step))

    def wait(self) -> None:
        """Block until the best parameters are on disk."""
        self._checkpoints.wait()

    def close(self) -> None:
        """Wait for checkpoints that are being saved, and close all files."""
        with contextlib.closing(self._checkpoints):
            if self._writer:
                self._writer.close()


def each(learners: Sequence[Learner], act: Callable[..., None], *arguments: Any) -> bool:
    """Call a method of every learner that has not failed.

    A learner whose call raises FloatingPointError has failed from then on.

    Returns:
        Whether any learner is left.
    """
    for learner in learners:
        if not learner.failure:
            try:
                act(learner, *arguments)
            except FloatingPointError as error:
                learner.failure = str(error)
                learner.note_failure(learner.failure)
    return not all(learner.failure for learner in learners)
