"""What the page of a study shows, gathered from its members."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from noise2map_jax.comparison import Comparison
from noise2map_jax.dataset import record_id, record_scene
from noise2map_jax.member_result import MemberResult
from noise2map_jax.noise import contrast
from noise2map_jax.page.content import (
    LearningCurve,
    NoisedInputs,
    ScenePictures,
    SceneScores,
    StudyPage,
    Sweep,
    VariantScore,
)
from noise2map_jax.page_parts import learning_curve, noised_inputs, scene_pictures
from noise2map_jax.predictions import RecordPredictor, spread
from noise2map_jax.run import restore_best
from noise2map_jax.study import Member, Study
from noise2map_jax.variant_scores import foreground_f1

Results = Sequence[tuple[Member, MemberResult]]


def study_page(
    study: Study,
    done: Results,
    failures: Sequence[tuple[Member, str]],
    comparison: Comparison,
    command: str,
) -> StudyPage:
    """Gather the page's content.

    Args:
        study: what was compared.
        done: members that were trained to their end.
        failures: the others, and why.
        comparison: the statistics.
        command: that makes the study again.
    """
    config, objective = study.config, study.members[0].objective
    split = config.eval.split
    return StudyPage(
        title=f"{config.task} on {objective.dataset.name}: {len(study.variants)} variants x "
        f"{len(config.study.seeds)} seeds",
        protocol=objective.protocol(split),
        command=command,
        config=json.dumps(config.to_dict(), indent=2),
        reference=comparison.reference,
        variants=_variant_scores(study, comparison),
        classes=tuple(config.data.classes),
        notes=tuple(
            f"{member.name} failed and counts for nothing: {reason}" for member, reason in failures
        ),
        sweeps=_sweeps(study, done),
        curves=_curves(study),
        noised=_noised(study, done),
        pictures=_pictures(study, done),
        pictures_note=f"One tile a scene of the split {split}; F1 of the tile. Predicted by "
        + ", ".join(pairs[0][0].name for _, pairs in _of_variant(study, done))
        + ".",
        scene_scores=SceneScores(
            comparison.scenes,
            tuple(variant.name for variant in comparison.variants),
            np.stack([variant.f1_by_scene for variant in comparison.variants], axis=1),
        ),
    )


def _variant_scores(study: Study, comparison: Comparison) -> tuple[VariantScore, ...]:
    differences = {difference.name: difference for difference in comparison.differences}
    scores = []
    for variant, summary in zip(study.variants, comparison.variants, strict=True):
        difference = differences.get(variant.name)
        compared: dict[str, Any] = {}
        if difference:
            compared = {"verdict": difference.verdict}
            if difference.seeds:
                compared |= {
                    "difference": difference.f1,
                    "difference_interval": difference.interval,
                    "p_value": difference.p_holm,
                    "effect_size": difference.test.effect,
                }
        scores.append(
            VariantScore(
                name=variant.name,
                description=variant.describe(),
                seeds_done=len(summary.seeds),
                seeds_asked=len(study.config.study.seeds),
                f1_mean=summary.f1,
                f1_sd=summary.f1_std,
                f1_interval=summary.interval if math.isfinite(summary.f1) else None,
                f1_by_seed=tuple(summary.f1_by_seed.tolist()),
                iou_mean=summary.iou,
                **compared,
            )
        )
    return tuple(scores)


def _of_variant(
    study: Study, results: Results
) -> list[tuple[str, list[tuple[Member, MemberResult]]]]:
    """The members of each variant that has any."""
    named = [
        (v.name, [pair for pair in results if pair[0].variant.name == v.name])
        for v in study.variants
    ]
    return [(name, pairs) for name, pairs in named if pairs]


def _sweeps(study: Study, done: Results) -> tuple[Sweep, ...]:
    sweeps = []
    for name, pairs in _of_variant(study, done):
        member, result = pairs[0]
        if not len(result.timesteps):
            continue
        process, options = member.objective.process, member.objective.config.noise
        # Only where dates are exchanged does a low contrast hide their difference.
        swaps = bool(process.mix.swap) or options.kind != "structured"
        is_pair = len(member.objective.task.image_keys) > 1 and swaps
        sweeps.append(
            Sweep(
                variant=name,
                timesteps=result.timesteps,
                f1=np.stack([foreground_f1(r.sweep) for _, r in pairs]),
                contrast=np.asarray(contrast(process.signal, process.noise)) if is_pair else None,
                schedule=options.schedule if options.kind == "structured" else options.kind,
            )
        )
    return tuple(sweeps)


def _curves(study: Study) -> tuple[LearningCurve, ...]:
    return tuple(
        learning_curve(
            member.run.workdir,
            member.variant.name,
            member.seed,
            loss="train/loss",
            f1="val/f1/foreground",
        )
        for member in study.members
    )


def _noised(study: Study, done: Results) -> tuple[NoisedInputs, ...]:
    found = []
    for name, pairs in _of_variant(study, done):
        member, result = pairs[0]
        source = member.objective.dataset.source(study.config.eval.split)
        (pick,) = spread(_has_foreground(result), 1)
        found.append(noised_inputs(member.objective, source[pick], name))
    return tuple(found)


def _pictures(study: Study, done: Results) -> tuple[ScenePictures, ...]:
    number, split = study.config.study.num_scenes, study.config.eval.split
    if not number:
        return ()
    first = done[0][0]
    source = first.objective.dataset.source(split)
    scenes = [record_scene(record_id(record)) for record in source]
    picks = _one_a_scene(scenes, _has_foreground(done[0][1]), number)
    predictors: dict[int, RecordPredictor] = {}
    rows, by_variant = [], []
    for name, pairs in _of_variant(study, done):
        member = pairs[0][0]
        run, objective = member.run, member.objective
        group = next(i for i, g in enumerate(study.groups) if member in g)
        predictor = predictors.setdefault(group, RecordPredictor(objective, split))
        experiment = run.experiment
        _, params = restore_best(run.workdir, experiment.config, experiment.model, experiment.mesh)
        rows = predictor(params, objective.process, picks)
        by_variant.append((name, [row.probabilities for row in rows]))
    return tuple(
        scene_pictures(
            first.objective,
            scenes[pick],
            rows[i],
            [(name, probabilities[i]) for name, probabilities in by_variant],
        )
        for i, pick in enumerate(picks)
    )


def _one_a_scene(scenes: Sequence[str], has_foreground: np.ndarray, number: int) -> list[int]:
    """Pick a record of each of `number` scenes spread over the split, with foreground if it can."""
    best: dict[str, int] = {}
    for i, scene in enumerate(scenes):
        if scene not in best or (has_foreground[i] and not has_foreground[best[scene]]):
            best[scene] = i
    candidates = np.array(sorted(best.values()))
    return candidates[spread(has_foreground[candidates], number)].tolist()


def _has_foreground(result: MemberResult) -> np.ndarray:
    return result.confusions[:, 1:].sum(axis=(1, 2)) > 0
