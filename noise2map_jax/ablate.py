"""The program `--mode=ablate`: trains and compares the members of a study."""

import hashlib
import json
import pathlib
from collections.abc import Callable, Sequence

import jax
from ml_collections import ConfigDict

from noise2map_jax import execution_choice, member_result
from noise2map_jax.errors import UserError
from noise2map_jax.evaluator import MapEvaluator
from noise2map_jax.execution import create_execution
from noise2map_jax.member_result import MemberResult
from noise2map_jax.run import differences, load_config, restore_best
from noise2map_jax.study import Member, Study, create_study
from noise2map_jax.sweep import TimestepSweep, timestep_grid
from noise2map_jax.trainer import Run, Trainer

# Between the beginning of a study and going on with it.
MAY_DIFFER = ("data.data_dir", "data.num_threads", "data.prefetch_size", "train.log_every_steps")


def ablate(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Train every member, evaluate it, compare the variants, write the page.

    The same command goes on where it stopped: members that are done are not trained again.

    Args:
        config: an experiment with a section `study`.
        workdir: where the study lives; `members/<variant>-<seed>` in it are runs like any other.

    Raises:
        UserError: a field or a dataset that is wrong.
        Preempted: asked to stop by a signal; all is saved.
    """
    if jax.process_count() > 1:
        raise UserError(
            f"a study runs in one process, not {jax.process_count()}; its members are independent: "
            "give every machine seeds of its own (study.seeds) and a --workdir of its own"
        )
    study = create_study(config, workdir)
    print(_summary(study), flush=True)
    _check_trained(study)
    for number, group in enumerate(study.groups):
        _train_group(study, number, group)
        _measure_group(study, group)
    from noise2map_jax.study_report import write_report  # plots are slow to import

    write_report(study)


def _summary(study: Study) -> str:
    config, objective = study.config, study.members[0].objective
    lines = [
        f"study       {len(study.variants)} variants x {len(config.study.seeds)} seeds, in "
        f"{len(study.groups)} group(s) of one executable",
        *(f"            {variant.name}: {variant.describe()}" for variant in study.variants),
        f"reference   {config.study.reference}",
        f"task        {config.task}",
        f"data        {objective.dataset.describe('train')}",
        f"devices     {jax.device_count()} x {jax.devices()[0].device_kind}",
        f"work folder {study.workdir}",
    ]
    return "\n".join(lines)


def _check_trained(study: Study) -> None:
    """Refuse to mix what was trained before under the same name with other values."""
    for member in study.members:
        run = member.run
        if (run.workdir / "config.json").is_file():
            changed = [
                name
                for name in differences(load_config(run.workdir), run.experiment.config)
                if not name.startswith(MAY_DIFFER)
            ]
            if changed:
                raise UserError(
                    f"{run.workdir} was trained with other values of {', '.join(changed)}; choose "
                    "another name for the variant or another --workdir"
                )
    study.workdir.mkdir(parents=True, exist_ok=True)
    text = json.dumps(study.config.to_dict(), indent=2) + "\n"
    (study.workdir / "study.json").write_text(text)


def _train_group(study: Study, number: int, group: Sequence[Member]) -> None:
    """Train the members that share an executable."""
    if all(member_result.load(member.run.workdir) for member in group):
        return
    trainers: dict[tuple[str, int], Trainer] = {}

    def trainer(kind: str, num_networks: int) -> Trainer:
        """Make each trainer once: what was compiled to be measured is used to train."""
        execution = create_execution(kind, num_networks)
        key = kind, execution.num_members
        if key not in trainers:
            trainers[key] = Trainer(group[0].run.experiment, execution)
        return trainers[key]

    runs = [member.run for member in group]
    kind = _execution_kind(study, number, runs, trainer)
    chosen = trainer(kind, min(len(runs), study.config.study.max_members * jax.device_count()))
    width = chosen.execution.num_members
    for first in range(0, len(group), width):
        cohort = group[first : first + width]
        if all(member_result.load(member.run.workdir) for member in cohort):
            continue
        print("training    " + "; ".join(member.name for member in cohort), flush=True)
        _train_cohort(study, chosen, cohort)


def _train_cohort(study: Study, trainer: Trainer, cohort: Sequence[Member]) -> None:
    """Train members in one call of the step each time; note those that fail."""
    runs = [member.run for member in cohort]
    folder = runs[0].workdir
    if trainer.execution.is_stacked:
        names = "+".join(run.workdir.name for run in runs)
        folder = study.workdir / "cohorts" / hashlib.sha256(names.encode()).hexdigest()[:16]
    try:
        failures = trainer.train(runs, folder, trainer.start(runs, folder))
    except FloatingPointError as error:
        failures = [str(error)] * len(runs)
    for run, failure in zip(runs, failures, strict=True):
        if failure:
            print(f"{run.workdir.name} failed: {failure}", flush=True)
            member_result.save(member_result.failed(failure), run.workdir)


def _execution_kind(
    study: Study, number: int, runs: Sequence[Run], create_trainer: Callable[[str, int], Trainer]
) -> str:
    """Say how the networks of a group are executed; measured once, kept with the study."""
    kind = study.config.study.execution
    if kind != "auto":
        return kind
    if len(runs) == 1:
        return "dispatch"
    path = study.workdir / f"execution_{number}.json"
    if not path.is_file():
        seconds = execution_choice.measure(execution_choice.candidates(), runs, create_trainer)
        path.write_text(json.dumps(seconds, indent=2) + "\n")
    seconds = json.loads(path.read_text())
    kind = execution_choice.fastest(seconds)
    told = ", ".join(f"{name} {1000 * value:.0f}" for name, value in seconds.items())
    print(f"execution   {kind} (ms a step of a member: {told})", flush=True)
    return kind


def _measure_group(study: Study, group: Sequence[Member]) -> None:
    """Evaluate the best parameters of each member, and sweep over timesteps."""
    experiment, objective = group[0].run.experiment, group[0].objective
    evaluator = MapEvaluator(objective, experiment.mesh, study.config.eval.split)
    sweep = TimestepSweep(objective, experiment.mesh, "val")
    for member in group:
        run = member.run
        if member_result.load(run.workdir):
            continue
        step, params = restore_best(
            run.workdir, run.experiment.config, run.experiment.model, run.experiment.mesh
        )
        process = member.objective.process
        evaluation = evaluator(params, process)
        grid = timestep_grid(process, study.config.study.num_timesteps)
        result = MemberResult(step, evaluation.confusions, grid, sweep(params, process, grid))
        member_result.save(result, run.workdir)
        print(f"{member.name}: {evaluation.headline} on {study.config.eval.split}", flush=True)
