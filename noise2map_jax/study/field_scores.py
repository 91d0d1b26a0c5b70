"""Scores of a study over the values of one field, such as the length of training."""

import math
from collections.abc import Sequence

from noise2map_jax.method.foreground_scores import foreground_f1
from noise2map_jax.page.curves import FieldScores, ScoreLine
from noise2map_jax.study.field_lines import lines_over
from noise2map_jax.study.member_result import MemberResult
from noise2map_jax.study.study import Member, Study


def field_scores(study: Study, done: Sequence[tuple[Member, MemberResult]]) -> FieldScores | None:
    """Gather F1 on validation over the field `study.over`.

    Args:
        study: the study.
        done: members that were trained to the end.

    Returns:
        None if the study names no field, or no score is defined.
    """
    if not (name := study.config.study.get("over", "")):
        return None
    by_variant: dict[str, list[float]] = {}
    for member, result in done:
        f1 = float(foreground_f1(result.confusions.sum(axis=0)))
        if not math.isnan(f1):
            by_variant.setdefault(member.variant.name, []).append(f1)
    lines = []
    for line in lines_over(study.config, study.variants):
        points = [
            (value, tuple(by_variant[variant.name]))
            for value, variant in line.points
            if variant.name in by_variant
        ]
        if points:
            lines.append(ScoreLine(line.label, tuple(points)))
    return FieldScores(name, tuple(lines)) if lines else None
