"""The program `--mode=ablate`: trains and compares the members of a study."""

import json
import pathlib
from collections.abc import Sequence

import jax
from ml_collections import ConfigDict

from noise2map_jax.devices.execution import create_execution
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.run_config import CONFIG, MAY_CHANGE_IN_STUDIES, check_going_on
from noise2map_jax.network.matmul_precision import describe_precision
from noise2map_jax.study import openings
from noise2map_jax.study.cohorts import Cohort, failure_of, note_trained, plan_cohorts
from noise2map_jax.study.execution_choice import choose_execution
from noise2map_jax.study.member_evaluator import MemberEvaluator
from noise2map_jax.study.study import SPLIT, Member, Study, create_study
from noise2map_jax.training.trainer import Trainer


def ablate(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Train every member, evaluate it on validation, compare the variants, write the page.

    The same command goes on where it stopped: members that are trained are not trained again.

    Args:
        config: an experiment with a section `study`.
        workdir: where the study lives; `members/<variant>-<seed>` in it are runs like any other.

    Raises:
        UserError: a field or a dataset that is wrong.
        Preempted: asked to stop by a signal; all is saved.
    """
    study = open_study(config, workdir)
    print(_summary(study), flush=True)
    openings.note_earlier_version(study)
    for group in study.groups:
        _train_group(study, group)

    from noise2map_jax.study.study_report import write_report  # plots are slow to import

    write_report(study)


def open_study(config: ConfigDict, workdir: pathlib.Path) -> Study:
    """Make a study, and check that what was trained of it before was trained alike.

    Raises:
        UserError: a field or a dataset that is wrong, or several processes.
    """
    if jax.process_count() > 1:
        raise UserError(
            f"a study runs in one process, not {jax.process_count()}; its members are independent: "
            "give every machine seeds of its own (study.seeds) and a --workdir of its own"
        )
    study = create_study(config, workdir)
    _check_trained(study)
    return study


def _summary(study: Study) -> str:
    config, objective = study.config, study.members[0].objective
    draws = max(member.objective.num_noise_draws for member in study.members)
    dtype, precision = config.model.dtype, config.model.matmul_precision
    lines = [
        f"study       {len(study.variants)} variants x {len(config.study.seeds)} seeds, in "
        f"{len(study.groups)} group(s) of one executable",
        *(f"            {variant.name}: {variant.describe()}" for variant in study.variants),
        f"reference   {config.study.reference}",
        f"task        {config.task}",
        f"data        {objective.dataset.describe('train')}",
        f"precision   {describe_precision(dtype, precision, jax.devices()[0].platform)}",
        f"devices     {jax.device_count()} x {jax.devices()[0].device_kind}",
        *([f"noise       {draws} draws averaged where it is Gaussian"] if draws else []),
        f"work folder {study.workdir}",
    ]
    return "\n".join(lines)


def _check_trained(study: Study) -> None:
    """Refuse to mix what was trained before under the same name with other values."""
    for member in study.members:
        run = member.run
        if (run.workdir / CONFIG).is_file():
            check_going_on(
                run.workdir,
                run.experiment.config,
                run.experiment.digests,
                may_change=MAY_CHANGE_IN_STUDIES,
                remedy="choose another name for the variant or another --workdir",
            )
    study.workdir.mkdir(parents=True, exist_ok=True)
    text = json.dumps(study.config.to_dict(), indent=2) + "\n"
    (study.workdir / "study.json").write_text(text)


def _train_group(study: Study, group: Sequence[Member]) -> None:
    """Train and evaluate the members that share an executable."""
    evaluator = MemberEvaluator(group[0], SPLIT, study.config.study.num_timesteps)
    for member in group:
        evaluator(member)  # those that were trained before
    pending = [member for member in group if failure_of(member) is None]
    if not pending:
        return
    trainers: dict[tuple[str, int], Trainer] = {}

    def create_trainer(kind: str, num_networks: int) -> Trainer:
        """Make each trainer once: what was compiled to be measured is used to train."""
        execution = create_execution(kind, num_networks, study.config.mesh.fsdp)
        key = kind, execution.num_members
        if key not in trainers:
            trainers[key] = Trainer(group[0].run.experiment, execution)
        return trainers[key]

    kind = choose_execution(study, [member.run for member in pending], create_trainer)
    # Calls of even size: places that are left over are computed as well.
    most = study.config.study.max_members * jax.device_count()
    num_calls = -(-len(pending) // most)
    trainer = create_trainer(kind, -(-len(pending) // num_calls))
    for cohort in plan_cohorts(study, group, kind, trainer.execution.num_members):
        print("training    " + "; ".join(member.name for member in cohort.members), flush=True)
        _train_cohort(trainer, cohort)
        for member in cohort.members:
            evaluator(member)


def _train_cohort(trainer: Trainer, cohort: Cohort) -> None:
    """Train members in one call of the step each time; note those that fail."""
    runs, members = [member.run for member in cohort.members], cohort.members

    def note_failure(number: int, failure: str) -> None:
        # At once: after a kill nothing else would tell.
        print(f"{members[number].name} failed: {failure}", flush=True)
        note_trained(members[number], failure)

    failures = trainer.train(
        runs,
        cohort.folder,
        trainer.start(runs, cohort.folder),
        failures=[failure_of(member) or "" for member in members],
        note_failure=note_failure,
    )
    for member, failure in zip(members, failures, strict=True):
        note_trained(member, failure)
    cohort.discard()
