"""Scores of a study over the values of one field, such as the length of training."""

from collections.abc import Sequence

from noise2map_jax.method.foreground_scores import foreground_f1
from noise2map_jax.page.curves import FieldScores, ScoreLine
from noise2map_jax.study.field_lines import lines_over
from noise2map_jax.study.member_result import MemberResult
from noise2map_jax.study.study import Member, Study


def field_scores(study: Study, done: Sequence[tuple[Member, MemberResult]]) -> FieldScores | None:
    """Gather F1 on validation over the field `study.over`; None if the study names none.

    Each line has the name of its first variant, see `lines_over`.
    """
    name = study.config.study.get("over", "")
    if not name:
        return None
    lines = []
    for variants in lines_over(study.config, study.variants):
        points = []
        for value, variant in sorted(variants, key=lambda pair: pair[0]):
            f1 = [
                float(foreground_f1(result.confusions.sum(axis=0)))
                for member, result in done
                if member.variant.name == variant.name
            ]
            if f1:
                points.append((value, tuple(f1)))
        if points:
            lines.append(ScoreLine(variants[0][1].name, tuple(points)))
    return FieldScores(name, tuple(lines)) if lines else None
