"""The program `--mode=train`: from a config to a trained network, resuming where it stopped."""

import contextlib
import functools
import pathlib
from typing import Any

import jax
from ml_collections import ConfigDict

from noise2map_jax import checkpoint, optimizer, sharding
from noise2map_jax.components import trained_sizes
from noise2map_jax.errors import UserError
from noise2map_jax.experiment import Experiment, create_experiment, num_train_steps, save_config
from noise2map_jax.initialization import initialize
from noise2map_jax.input_pipeline import train_batches
from noise2map_jax.model import init_params
from noise2map_jax.preemption import Preempted, PreemptionWatch
from noise2map_jax.progress import progress_bar
from noise2map_jax.run import load_config
from noise2map_jax.start_summary import start_summary
from noise2map_jax.step import train_step
from noise2map_jax.train_log import TrainLog
from noise2map_jax.train_state import TrainState, create_train_state, start_from
from noise2map_jax.validation import Validation
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
    trained = load_config(workdir) if (workdir / "config.json").is_file() else None
    experiment = create_experiment(config, trained)
    config, mesh, batch_size = experiment.config, experiment.mesh, config.train.batch_size
    sharding.check_batch_size(batch_size, mesh, num_microbatches=config.train.num_microbatches)
    # An epoch passes once over the largest of the tasks' training splits.
    num_records = max(o.dataset.num_records("train") for o in experiment.objectives.values())
    num_steps = num_train_steps(config, num_records)
    eval_every = config.train.eval_every_steps or max(1, num_records // batch_size)
    save_every = config.train.checkpoint_every_steps or eval_every

    learning_rate = optimizer.learning_rate_schedule(
        config.train.learning_rate,
        num_steps,
        warmup_steps=config.train.warmup_steps,
        cosine=config.train.cosine,
    )
    step_fn, init_fn = compile_functions(experiment, learning_rate)
    validation = Validation(experiment)
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
    batches = {
        name: train_batches(
            objective.dataset.source("train"),
            objective.record_keys,
            seed=config.seed,
            batch_size=batch_size,
            first_step=first_step,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
            num_threads=objective.config.data.num_threads,
            prefetch_size=objective.config.data.prefetch_size,
        )
        for name, objective in experiment.objectives.items()
    }
    processes = {name: objective.process for name, objective in experiment.objectives.items()}
    images_a_step = batch_size * len(batches)
    bar = progress_bar(num_steps * images_a_step, "train", initial=first_step * images_a_step)
    log = TrainLog(
        writer, learning_rate, images_a_step, config.train.log_every_steps, last_step=num_steps
    )

    def evaluate_and_keep_best(step: int) -> None:
        result = validation(state.eval_params)
        if writer:
            writer.write_scalars(step, result.scalars())
        if result.score > checkpoints.best_score():
            checkpoints.save_best(step, state.eval_params, result.score)
        validation.draw_samples(state.eval_params, step, writer, workdir)
        bar.set_postfix_str(f"loss {log.last_loss:.4f}, val {result.headline()}")

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
            batch = {name: sharding.shard_batch(next(b), mesh) for name, b in batches.items()}
            state, metrics = step_fn(state, batch, processes, root_key)
            log.push(step + 1, metrics)  # pulls the metrics of the step before this one
            bar.update(images_a_step)
        log.pull()
        if first_step < num_steps:
            evaluate_and_keep_best(num_steps)
            checkpoints.save_latest(num_steps, state)
    finish(validation, state, writer, workdir)
    return state


def compile_functions(experiment: Experiment, learning_rate: Any) -> tuple[Any, Any]:
    """Jit the training step and the making of the first state, with their shardings.

    Returns:
        `step_fn(state, batches, processes, root_key) -> (state, metrics)`, which donates the state,
        and `init_fn(root_key) -> state`. This is the one place where the training step is jitted.
    """
    options = experiment.config.train
    rep, rows = sharding.replicated(experiment.mesh), sharding.batch_sharding(experiment.mesh)
    tx = optimizer.create_optimizer(
        options.optimizer,
        learning_rate,
        weight_decay=options.weight_decay,
        max_gradient_norm=options.max_gradient_norm,
        backbone_learning_rate_factor=options.backbone_learning_rate_factor,
    )
    heads = experiment.model.heads
    if options.backbone_learning_rate_factor == 0 and not any(head.projected for head in heads):
        raise UserError(
            "train.backbone_learning_rate_factor is 0, but this network is its backbone alone: "
            "nothing would be trained"
        )
    if not 0 <= options.ema_decay < 1:
        raise UserError(f"train.ema_decay is {options.ema_decay}; expected 0 <= decay < 1")

    def init(key: jax.Array) -> TrainState:
        init_key = jax.random.fold_in(key, 2**31 - 1)  # a number that no step has
        params = init_params(experiment.model, init_key, trained_sizes(experiment.config))
        return create_train_state(params, tx, use_ema=options.ema_decay > 0)

    step = functools.partial(
        train_step,
        problems={name: o.problem for name, o in experiment.objectives.items()},
        tx=tx,
        backbone_learning_rate_factor=options.backbone_learning_rate_factor,
        num_microbatches=options.num_microbatches,
        unroll_microbatches=jax.default_backend() == "cpu",
        ema_decay=options.ema_decay,
    )
    step_fn = jax.jit(
        step, in_shardings=(rep, rows, rep, rep), out_shardings=(rep, rep), donate_argnums=0
    )
    return step_fn, jax.jit(init, out_shardings=rep)


def finish(
    validation: Validation, state: TrainState, writer: MetricWriter | None, workdir: pathlib.Path
) -> None:
    """Draw the best network's predictions on the validation split, and close the run."""
    rep = sharding.replicated(validation.experiment.mesh)
    abstract = checkpoint.abstract_like(state.eval_params, rep)
    with contextlib.closing(checkpoint.Checkpoints(workdir / "checkpoints")) as checkpoints:
        step, params = checkpoints.best_step(), checkpoints.restore_best(abstract)
    result = validation(params)
    if writer:
        pictures = validation.draw_predictions(result, params, int(state.step), writer, workdir)
        writer.close()
        for name, objective in validation.experiment.objectives.items():
            headline = result.evaluations[name].headline
            print(f"best step {step}: {headline} on {objective.protocol('val')}")
        print("\n".join(f"pictures: {path}" for path in pictures))
