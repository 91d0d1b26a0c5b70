"""A study: named variants of an experiment times seeds, in groups that share an executable."""

import dataclasses
import pathlib
from typing import Any

import jax
from ml_collections import ConfigDict

from noise2map_jax import strict_json
from noise2map_jax.buckets.address import is_address
from noise2map_jax.devices.execution import KINDS, create_execution, possible_kinds
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.config_fields import describe
from noise2map_jax.experiment.experiment import Experiment, Objective, create_experiment
from noise2map_jax.experiment.field_rules import May
from noise2map_jax.experiment.run_config import CONFIG, check_going_on
from noise2map_jax.study.field_lines import lines_over
from noise2map_jax.study.record import record
from noise2map_jax.study.tuning import with_chosen
from noise2map_jax.study.variants import Variant, parse_variants
from noise2map_jax.training.trainer import Run, Trainer
from noise2map_jax.weights import hub, shipped

SPLIT = "val"  # split that variants are compared on; only `--mode=final` opens test
FIELDS = (
    *("variants", "grid", "seeds", "reference", "execution", "max_members"),
    *("num_timesteps", "num_scenes"),
)


@dataclasses.dataclass(frozen=True)
class Member:
    """A variant with a seed: an ordinary run in a folder of its own."""

    variant: Variant
    run: Run

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.run.experiment.config.seed

    @property
    def name(self) -> str:
        """The name for people: variant and seed."""
        return f"{self.variant.name}, seed {self.seed}"

    @property
    def objective(self) -> Objective:
        """The objective of the run's only task."""
        (objective,) = self.run.experiment.objectives.values()
        return objective


@dataclasses.dataclass(frozen=True)
class Study:
    """A study with all its members.

    Attributes:
        config: the config of the experiment, with the section `study`.
        workdir: the folder for all files of the study.
        variants: the variants, in the order of the config.
        groups: all members; the members of a group share one executable.
    """

    config: ConfigDict
    workdir: pathlib.Path
    variants: tuple[Variant, ...]
    groups: tuple[tuple[Member, ...], ...]

    @property
    def members(self) -> list[Member]:
        """All members, by variant in the order of the config, then by seed."""
        order = {variant.name: i for i, variant in enumerate(self.variants)}
        members = [member for group in self.groups for member in group]
        return sorted(members, key=lambda m: (order[m.variant.name], m.seed))


def open_study(config: ConfigDict, workdir: pathlib.Path) -> Study:
    """Make a study, and check that members trained earlier have the same config and data.

    Raises:
        UserError: a field or a dataset is wrong, or there are several processes.
    """
    if jax.process_count() > 1:
        raise UserError(
            f"a study runs in one process, not {jax.process_count()}; its members are independent, "
            "so give every machine its own seeds (study.seeds) and its own --workdir"
        )
    study = create_study(config, workdir)
    _check_trained(study)
    _check_sources(study)
    return study


def create_study(config: ConfigDict, workdir: pathlib.Path) -> Study:
    """Make the members of a study, and check all of them before any is trained.

    Raises:
        UserError: the config has no study, or a variant, seed, reference or other field is wrong.
    """
    lacking = [name for name in FIELDS if name not in config.get("study", {})]
    if "study" in config and lacking:
        raise UserError(
            f"study lacks {', '.join(lacking)}; make the section with configs/default.py's `study`"
        )
    if "study" not in config:
        raise UserError(
            "this config is not a study: it has no section `study`; see configs/ablate_noise.py"
        )
    if config.tasks or config.task == "denoise":
        what = "several tasks" if config.tasks else "denoising"
        raise UserError(f"a study compares maps of one task, ss or cd; this config has {what}")
    if not config.train.validate:
        raise UserError(
            "a study compares variants on validation, so train.validate=False cannot be; build the "
            "dataset with a validation split"
        )
    options = config.study
    variants = parse_variants(options.variants, options.grid)
    if options.get("tune"):
        variants = with_chosen(variants, workdir)
    names = [variant.name for variant in variants]
    if options.reference not in names:
        raise UserError(
            f"study.reference is {options.reference!r}; expected one of {', '.join(names)}"
        )
    seeds = tuple(options.seeds) if isinstance(options.seeds, tuple | list) else (options.seeds,)
    if not seeds or len(set(seeds)) < len(seeds) or any(type(seed) is not int for seed in seeds):
        raise UserError(f"study.seeds is {seeds}; expected one or more different whole numbers")
    if options.execution not in ("auto", *KINDS):
        raise UserError(
            f"study.execution is {options.execution!r}; expected auto, {', '.join(KINDS)}"
        )
    if options.num_timesteps < 0 or options.num_scenes < 0 or options.max_members < 1:
        raise UserError(
            f"study.num_timesteps is {options.num_timesteps}, num_scenes {options.num_scenes}, "
            f"max_members {options.max_members}; expected 0 or more, and 1 or more members"
        )
    if options.get("cost_repeats", 0) < 0:
        raise UserError(f"study.cost_repeats is {options.cost_repeats}; expected 0 or more")
    if options.get("over"):
        lines_over(config, variants)  # what is wrong with it comes up now
    groups: list[list[Member]] = []
    for seed in seeds:
        for variant in variants:
            member = Member(variant, _run(config, variant, seed, workdir))
            group = next((g for g in groups if _share_executable(g[0], member)), None)
            if group is None:
                groups.append([member])
            else:
                group.append(member)
    for group in groups:
        _check(group[0], config)
    return Study(config, workdir, tuple(variants), tuple(tuple(group) for group in groups))


def _check(member: Member, config: ConfigDict) -> None:
    """Raise errors now that would otherwise come up only when this group is trained."""
    objective, options = member.objective, config.study
    objective.dataset.num_records(SPLIT)
    kind, experiment = options.execution, member.run.experiment
    if tuple(steps := experiment.config.train.profile_steps) != (0, 0):
        raise UserError(
            f"variant {member.variant.name!r}: train.profile_steps is {tuple(steps)}, but a study "
            "records no profile: leave it out, or train that network alone"
        )
    train, fsdp = experiment.config.train, experiment.config.mesh.fsdp
    if kind == "auto":
        kind = possible_kinds(train.batch_size, train.num_microbatches, 1, fsdp)[0]
    try:
        Trainer(experiment, create_execution(kind, 1, fsdp))
    except UserError as error:
        raise UserError(f"variant {member.variant.name!r}: {error}") from None


def _check_trained(study: Study) -> None:
    """Raise if a member was trained earlier with other values under the same name."""
    for member in study.members:
        run = member.run
        if (run.workdir / CONFIG).is_file():
            check_going_on(
                run.workdir,
                run.experiment.config,
                run.experiment.digests,
                may=May.GO_ON_IN_STUDY,
                remedy="choose another name for the variant or another --workdir",
            )
    if changed := record(study.config, study.workdir):
        print(f"changed since this study was started: {describe(changed)}", flush=True)


def _check_sources(study: Study) -> None:
    """Raise before anything is compiled if what a member begins with is not there."""
    for member in study.members:
        source = member.run.experiment.config.init_from
        trained = (member.run.workdir / CONFIG).is_file()
        if not source or trained or source.startswith(hub.PREFIX) or is_address(source):
            continue
        if source.startswith(shipped.PREFIX):
            try:
                shipped.shipped(source)
            except UserError as error:
                raise UserError(f"variant {member.variant.name!r}: {error}") from None
        elif not pathlib.Path(source).exists():
            raise UserError(
                f"variant {member.variant.name!r}: init_from={source} is not there; train that run "
                "first, or start from random values with init_from="
            )


def _run(config: ConfigDict, variant: Variant, seed: int, workdir: pathlib.Path) -> Run:
    own = variant.apply(config)
    own.seed = seed
    own = ConfigDict({name: value for name, value in own.to_dict().items() if name != "study"})
    try:
        experiment = create_experiment(own)
    except UserError as error:
        raise UserError(f"variant {variant.name!r}: {error}") from None
    return Run(experiment, workdir / "members" / f"{variant.slug}-{seed}")


def _share_executable(one: Member, other: Member) -> bool:
    """Whether one compiled step serves both: they differ only in arguments of the step."""
    return _static(one.run.experiment) == _static(other.run.experiment)


def _static(experiment: Experiment) -> Any:
    problems = {name: objective.problem for name, objective in experiment.objectives.items()}
    shapes = [
        [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(objective.process)]
        for objective in experiment.objectives.values()
    ]
    return problems, shapes, strict_json.dumps(experiment.config.train.to_dict(), sort_keys=True)
