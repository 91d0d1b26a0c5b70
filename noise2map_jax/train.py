"""The program `--mode=train`: from a config to a trained network, resuming where it stopped."""

import contextlib
import functools
import pathlib
from typing import Any

import jax
from ml_collections import ConfigDict

from noise2map_jax import checkpoint, optimizer, sharding
from noise2map_jax.augment import Augmentation
from noise2map_jax.errors import UserError
from noise2map_jax.evaluator import Evaluator
from noise2map_jax.experiment import (
    Experiment,
    create_experiment,
    num_train_steps,
    save_config,
    trained_size,
)
from noise2map_jax.initialization import initialize
from noise2map_jax.input_pipeline import train_batches
from noise2map_jax.model import init_params
from noise2map_jax.predictions import save_predictions
from noise2map_jax.preemption import Preempted, PreemptionWatch
from noise2map_jax.progress import progress_bar
from noise2map_jax.start_summary import start_summary
from noise2map_jax.step import train_step
from noise2map_jax.train_log import TrainLog
from noise2map_jax.train_state import TrainState, create_train_state, start_from
from noise2map_jax.writer import MetricWriter


def train(config: ConfigDict, workdir: pathlib.Path) -> TrainState:
    """Train, evaluate on the validation split, keep the newest and the best checkpoint.

    Args:
        config: the experiment.
        workdir: where the run lives; a checkpoint found there is gone on from.

    Returns:
        The state after the last step.

    Raises:
        UserError: a field or a dataset that is wrong.
        Preempted: asked to stop by a signal; the state is saved.
        FloatingPointError: the loss or the gradient is not finite; the last checkpoint stays.
    """
    experiment = create_experiment(config)
    if not experiment.problem.task.has_mask:
        raise UserError(
            f"task {config.task!r} has no maps to train and evaluate; expected ss or cd"
        )
    mesh, batch_size = experiment.mesh, config.train.batch_size
    sharding.check_batch_size(batch_size, mesh, num_microbatches=config.train.num_microbatches)
    num_records = experiment.dataset.num_records("train")
    num_steps = num_train_steps(config, num_records)
    steps_per_epoch = max(1, num_records // batch_size)
    eval_every = config.train.eval_every_steps or steps_per_epoch
    save_every = config.train.checkpoint_every_steps or eval_every

    learning_rate = optimizer.learning_rate_schedule(
        config.train.learning_rate,
        num_steps,
        warmup_steps=config.train.warmup_steps,
        cosine=config.train.cosine,
    )
    step_fn, init_fn = compile_functions(experiment, learning_rate)
    evaluator = Evaluator(experiment, "val")
    checkpoints = checkpoint.Checkpoints(workdir / "checkpoints")
    replicated = sharding.replicated(mesh)
    root_key = jax.jit(lambda: jax.random.key(config.seed), out_shardings=replicated)()
    first_step = checkpoints.latest_step() or 0
    if first_step:
        abstract_state = checkpoint.abstract_like(jax.eval_shape(init_fn, root_key), replicated)
        state = checkpoints.restore_latest(abstract_state)
    else:
        state = init_fn(root_key)
    origin = ""
    if config.init_from and not first_step:
        initial = initialize(experiment, state.params)
        state, origin = start_from(state, initial.params), initial.summary()

    is_first = jax.process_index() == 0
    if is_first:
        print(start_summary(experiment, state, workdir, num_steps, first_step, origin), flush=True)
        save_config(config, workdir)
    writer = MetricWriter(workdir, first_step=first_step) if is_first else None
    batches = train_batches(
        experiment.dataset.source("train"),
        experiment.record_keys,
        seed=config.seed,
        batch_size=batch_size,
        first_step=first_step,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        num_threads=config.data.num_threads,
        prefetch_size=config.data.prefetch_size,
    )
    bar = progress_bar(num_steps * batch_size, "train", initial=first_step * batch_size)
    log = TrainLog(
        writer, learning_rate, batch_size, config.train.log_every_steps, last_step=num_steps
    )

    def evaluate_and_keep_best(step: int) -> float:
        evaluation = evaluator(state.eval_params)
        f1 = evaluation.foreground_f1
        if writer:
            scores = {f"val/{k}": v for k, v in evaluation.summary().items()}
            writer.write_scalars(step, {"val/loss": evaluation.loss, **scores})
        if f1 > checkpoints.best_score():
            checkpoints.save_best(step, state.eval_params, f1)
        bar.set_postfix_str(f"loss {log.last_loss:.4f}, val F1 {100 * f1:.2f} %")
        return f1

    with (
        contextlib.closing(bar),
        contextlib.closing(checkpoints),  # waits for a save that is under way
        PreemptionWatch() as watch,
        jax.transfer_guard("disallow"),
    ):
        # The order is a contract: evaluate, save, read, step, write. A checkpoint is saved only
        # when loss, gradient and parameters of all its steps have been seen to be finite.
        for step in range(first_step, num_steps):
            stop = watch.reached(step)
            if step > first_step and (step % eval_every == 0 or step % save_every == 0 or stop):
                log.pull()
                if step % eval_every == 0:
                    evaluate_and_keep_best(step)
                    log.restart_clock()
                if step % save_every == 0 or stop:
                    checkpoints.save_latest(step, state)
            if stop:
                checkpoints.wait()
                if is_first:
                    print(
                        f"stopped by a signal at step {step}; the same command goes on from "
                        f"step {checkpoints.latest_step() or 0}"
                    )
                raise Preempted
            batch = sharding.shard_batch(next(batches), mesh)
            state, metrics = step_fn(state, batch, experiment.process, root_key)
            log.push(step + 1, metrics)  # pulls the metrics of the step before this one
            bar.update(batch_size)
        log.pull()
        if first_step < num_steps:
            evaluate_and_keep_best(num_steps)
            checkpoints.save_latest(num_steps, state)
    finish(experiment, evaluator, state, writer, workdir)
    return state


def compile_functions(experiment: Experiment, learning_rate: Any) -> tuple[Any, Any]:
    """Jit the training step and the making of the first state, with their shardings.

    Returns:
        `step_fn(state, batch, process, root_key) -> (state, metrics)`, which donates the state,
        and `init_fn(root_key) -> state`. This is the one place where the training step is jitted.
    """
    config, problem = experiment.config, experiment.problem
    rep, rows = sharding.replicated(experiment.mesh), sharding.batch_sharding(experiment.mesh)
    tx = optimizer.create_optimizer(
        config.train.optimizer,
        learning_rate,
        weight_decay=config.train.weight_decay,
        max_gradient_norm=config.train.max_gradient_norm,
    )
    augmentation = Augmentation(**config.augment)
    if not 0 <= config.train.ema_decay < 1:
        raise UserError(f"train.ema_decay is {config.train.ema_decay}; expected 0 <= decay < 1")

    def init(key: jax.Array) -> TrainState:
        init_key = jax.random.fold_in(key, 2**31 - 1)  # a number that no step has
        params = init_params(problem.model, init_key, trained_size(config))
        return create_train_state(params, tx, use_ema=config.train.ema_decay > 0)

    step = functools.partial(
        train_step,
        problem=problem,
        tx=tx,
        augmentation=augmentation,
        num_microbatches=config.train.num_microbatches,
        unroll_microbatches=jax.default_backend() == "cpu",
        ema_decay=config.train.ema_decay,
    )
    step_fn = jax.jit(
        step, in_shardings=(rep, rows, rep, rep), out_shardings=(rep, rep), donate_argnums=0
    )
    return step_fn, jax.jit(init, out_shardings=rep)


def finish(
    experiment: Experiment,
    evaluator: Evaluator,
    state: TrainState,
    writer: MetricWriter | None,
    workdir: pathlib.Path,
) -> None:
    """Draw the best network's predictions on the validation split, and close the run."""
    abstract = checkpoint.abstract_like(state.eval_params, sharding.replicated(experiment.mesh))
    with contextlib.closing(checkpoint.Checkpoints(workdir / "checkpoints")) as checkpoints:
        step, params = checkpoints.best_step(), checkpoints.restore_best(abstract)
    evaluation = evaluator(params)
    if writer:
        path = workdir / "report" / "predictions.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = save_predictions(experiment, "val", evaluation, params, path)
        if picture is not None:
            writer.write_image(int(state.step), "predictions/val", picture)
        writer.close()
        print(
            f"best step {step}: foreground F1 {100 * evaluation.foreground_f1:.2f} % on "
            f"{experiment.dataset.protocol('val')}\npictures: {path}"
        )
