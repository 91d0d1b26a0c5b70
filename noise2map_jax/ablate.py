"""The program `--mode=ablate`: trains and compares the members of a study."""

import pathlib
from collections.abc import Sequence

import jax
from ml_collections import ConfigDict

from noise2map_jax.buckets.names import shown
from noise2map_jax.devices.execution import create_execution
from noise2map_jax.experiment.experiment import num_train_steps
from noise2map_jax.network.matmul_precision import describe_precision
from noise2map_jax.study import member_result, openings, tuning
from noise2map_jax.study.claims import claim
from noise2map_jax.study.cohorts import Cohort, failure_of, note_trained, plan_cohorts
from noise2map_jax.study.execution_choice import CreateTrainer, choose_execution
from noise2map_jax.study.field_lines import lines_over
from noise2map_jax.study.member_evaluator import MemberEvaluator
from noise2map_jax.study.network_costs import measure_costs
from noise2map_jax.study.study import SPLIT, Member, Study, create_study, open_study
from noise2map_jax.study.variants import parse_variants
from noise2map_jax.training.start_summary import warnings
from noise2map_jax.training.trainer import Trainer


def ablate(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Train every member, evaluate it on validation, compare the variants, write the page.

    The same command resumes where it stopped: trained members are not trained again. Given several
    times at once, each process trains the members that no other one has claimed.

    Args:
        config: an experiment with a section `study`.
        workdir: the study's work folder; `members/<variant>-<seed>` in it are ordinary runs.

    Raises:
        UserError: a field or a dataset is wrong.
        Preempted: a signal asked to stop; everything is saved.
    """
    if config.get("study", {}).get("tune"):
        _tune(config, workdir)
    study = open_study(config, workdir)
    openings.note_earlier_version(study)
    _train(study)

    from noise2map_jax.study.report import write_report  # plots are slow to import

    with claim(study, "report", wait=True):
        measure_costs(study)
        write_report(study)


def _tune(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Choose the values of each variant in a study of its own."""
    untuned = config.copy_and_resolve_references()
    untuned.study.tune, untuned.study.over = (), ""
    if config.study.get("over"):
        lines_over(config, parse_variants(config.study.variants, config.study.grid))
    create_study(untuned, workdir)  # what is wrong with the study itself comes up before hours pass
    folder = workdir / tuning.FOLDER
    tuned = tuning.tuning_config(config)
    print(f"tuning      {', '.join(config.study.tune)}, seeds {tuned.study.seeds}", flush=True)
    study = open_study(tuned, folder)
    _train(study)
    done = [
        (member.variant.name, result)
        for member in study.members
        if (result := member_result.load(member.run.workdir, SPLIT)) and not failure_of(member)
    ]
    with claim(study, "choice", wait=True):
        tuning.choose(config, workdir, done)
    for name, found in tuning.read(workdir).items():
        print(f"tuned       {name}: {found.describe()}", flush=True)


def _train(study: Study) -> None:
    """Train and evaluate every member that is not yet."""
    print(_summary(study), flush=True)
    # What another process trains comes last: by then it is mostly done.
    for wait in (False, True):
        for group in study.groups:
            _train_group(study, group, wait=wait)


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
        *([f"noise       mean over {draws} draws if Gaussian"] if draws else []),
        f"work folder {shown(study.workdir)}",
        *(f"warning     {line}" for line in _warnings(study)),
    ]
    return "\n".join(lines)


def _warnings(study: Study) -> list[str]:
    """Say once what the start of any member's run would say."""
    said: dict[str, None] = {}
    for member in study.members:
        experiment, records = member.run.experiment, member.objective.dataset.num_records("train")
        steps = num_train_steps(experiment.config, records)
        asked = member.variant.apply(study.config).train.warmup_steps
        said |= dict.fromkeys(warnings(experiment, steps, asked))
    return list(said)


def _train_group(study: Study, group: Sequence[Member], *, wait: bool) -> None:
    """Train and evaluate the members that share an executable, or those that are free.

    Args:
        study: the study.
        group: the members.
        wait: whether to wait for members that another process trains.
    """
    evaluator = MemberEvaluator(group[0], SPLIT, study.config.study.num_timesteps)
    trainers: dict[tuple[str, int], Trainer] = {}

    def create_trainer(kind: str, num_networks: int) -> Trainer:
        """Make each trainer once, so that training reuses what a measurement compiled."""
        execution = create_execution(kind, num_networks, study.config.mesh.fsdp)
        key = kind, execution.num_members
        if key not in trainers:
            trainers[key] = Trainer(group[0].run.experiment, execution)
        return trainers[key]

    pending = [member.run for member in group if failure_of(member) is None]
    kind = choose_execution(study, pending, create_trainer) if pending else "dispatch"
    # Members that train together belong to one process, which claims each: another process may
    # have begun to train them one by one.
    parts = [(member,) for member in group] if kind == "dispatch" else [tuple(group)]
    for part in parts:
        with claim(study, *(member.run.workdir.name for member in part), wait=wait) as held:
            if held:
                _train_part(study, part, kind, create_trainer)
                for member in part:
                    evaluator(member)


def _train_part(
    study: Study, part: Sequence[Member], kind: str, create_trainer: CreateTrainer
) -> None:
    """Train those members of a part that are not trained yet."""
    pending = [member for member in part if failure_of(member) is None]
    if not pending:
        return
    # Calls of even size, because unused places in a call are computed too.
    most = study.config.study.max_members * jax.device_count()
    num_calls = -(-len(pending) // most)
    trainer = create_trainer(kind, -(-len(pending) // num_calls))
    for cohort in plan_cohorts(study, part, kind, trainer.execution.num_members):
        print("training    " + "; ".join(member.name for member in cohort.members), flush=True)
        _train_cohort(trainer, cohort)


def _train_cohort(trainer: Trainer, cohort: Cohort) -> None:
    """Train all members of a cohort together, and record those that fail."""
    runs, members = [member.run for member in cohort.members], cohort.members

    def note_failure(number: int, failure: str) -> None:
        # Recorded at once: if the program is killed, nothing else says that it failed.
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
