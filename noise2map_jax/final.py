"""The program `--mode=final`: opens the test split for a study, when nothing is chosen any more."""

import pathlib

from ml_collections import ConfigDict

from noise2map_jax.errors import UserError
from noise2map_jax.study import openings
from noise2map_jax.study.cohorts import failure_of
from noise2map_jax.study.member_evaluator import MemberEvaluator
from noise2map_jax.study.study import SPLIT, Study, open_study


def final(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Evaluate the best checkpoint of every member on test; write the final table.

    That test was opened, and for which networks, is noted in the study's folder before it is, and
    said on the page. The same command for the same networks shows again what was seen.

    Args:
        config: of the study, as for `--mode=ablate`.
        workdir: where the study lives.

    Raises:
        UserError: a field or a dataset that is wrong, or members that are not trained.
    """
    study = open_study(config, workdir)
    study.members[0].objective.dataset.num_records("test")
    pending = [member.name for member in study.members if failure_of(member) is None]
    if pending:
        raise UserError(
            f"{len(pending)} of {len(study.members)} members are not trained ({pending[0]} first); "
            "test is opened when nothing is chosen any more: finish with --mode=ablate"
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
