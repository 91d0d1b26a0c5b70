"""The program `--mode=final`: opens the test split for a study, after all choices are made."""

import pathlib

from ml_collections import ConfigDict

from noise2map_jax.errors import UserError
from noise2map_jax.study import openings
from noise2map_jax.study.cohorts import failure_of
from noise2map_jax.study.member_evaluator import MemberEvaluator
from noise2map_jax.study.study import SPLIT, Study, open_study


def final(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Evaluate the best checkpoint of every member on test, and write the final table.

    Before test is opened, the study's folder records that it is, and for which networks; the page
    shows it. The same command for the same networks shows the same scores again.

    Args:
        config: config of the study, as for `--mode=ablate`.
        workdir: the study's work folder.

    Raises:
        UserError: a field or a dataset is wrong, or a member is not trained.
    """
    study = open_study(config, workdir)
    study.members[0].objective.dataset.num_records("test")
    pending = [member.name for member in study.members if failure_of(member) is None]
    if pending:
        raise UserError(
            f"{len(pending)} of {len(study.members)} members are not trained ({pending[0]} first), "
            "and test is opened only after training: finish with --mode=ablate"
        )
    openings.note_earlier_version(study)
    _evaluate(study, SPLIT, study.config.study.num_timesteps)
    openings.note(study)
    _evaluate(study, "test", 0)

    from noise2map_jax.study.report import write_report  # plots are slow to import

    write_report(study)


def _evaluate(study: Study, split: str, num_timesteps: int) -> None:
    for group in study.groups:
        evaluator = MemberEvaluator(group[0], split, num_timesteps)
        for member in group:
            evaluator(member)
