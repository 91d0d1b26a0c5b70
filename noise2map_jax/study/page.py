"""Content of a study's page, gathered from its members."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from noise2map_jax import strict_json
from noise2map_jax.evaluation.predictions import RecordPredictor, spread
from noise2map_jax.experiment.network_choice import sees_noise
from noise2map_jax.experiment.run import restore_best
from noise2map_jax.method.foreground_scores import foreground_f1
from noise2map_jax.method.noise import contrast
from noise2map_jax.page.content import (
    NoisedInputs,
    PlaceScores,
    Ranking,
    Sample,
    ScenePictures,
    StudyPage,
    VariantScore,
)
from noise2map_jax.page.curves import LearningCurve, Sweep
from noise2map_jax.reports.parts import learning_curve, noised_inputs, scene_pictures
from noise2map_jax.study import tuning
from noise2map_jax.study.comparison import Comparison
from noise2map_jax.study.field_scores import field_scores
from noise2map_jax.study.member_result import MemberResult
from noise2map_jax.study.study import SPLIT, Member, Study

Results = Sequence[tuple[Member, MemberResult]]


def study_page(
    study: Study,
    done: Results,
    failures: Sequence[tuple[Member, str]],
    comparison: Comparison,
    command: str,
    test_note: str,
    final: Comparison | None,
) -> StudyPage:
    """Gather the page's content.

    Args:
        study: the study.
        done: members that were trained to the end.
        failures: members that failed, and why.
        comparison: the statistics on validation.
        command: the command that started the study.
        test_note: whether test was opened, and when.
        final: the statistics on test; None if test was not opened for these members.
    """
    config, objective = study.config, study.members[0].objective
    curves = _curves(study)
    return StudyPage(
        title=f"{config.task} on {objective.dataset.name}: {len(study.variants)} variants x "
        f"{len(config.study.seeds)} seeds",
        protocol=objective.protocol(SPLIT),
        command=command,
        config=strict_json.dumps(config.to_dict(), indent=2),
        reference=comparison.reference,
        ranking=_ranking(study, comparison, SPLIT, of_the_best(curves)),
        test_note=test_note,
        final=_ranking(study, final, "test") if final else None,
        classes=tuple(config.data.classes),
        notes=(
            *undefined_scores(study, comparison),
            *(
                f"Tuned, {name}: {found.describe()}."
                for name, found in tuning.read(study.workdir).items()
            ),
            *(f"{member.name} failed and is left out: {reason}" for member, reason in failures),
        ),
        field_scores=field_scores(study, done),
        sweeps=_sweeps(study, done),
        curves=curves,
        noised=_noised(study, done),
        pictures=_pictures(study, done),
        pictures_note=f"One tile a place of the split {SPLIT}; F1 of the tile. Predicted by "
        + ", ".join(pairs[0][0].name for _, pairs in _of_variant(study, done))
        + ".",
        place_scores=PlaceScores(
            comparison.places,
            tuple(variant.name for variant in comparison.variants),
            np.stack([variant.f1_by_place for variant in comparison.variants], axis=1),
        ),
    )


def undefined_scores(study: Study, comparison: Comparison, split: str = SPLIT) -> tuple[str, ...]:
    """Say that variants cannot be ranked or compared, if the split holds no foreground."""
    if not any(v.seeds and math.isnan(v.f1) for v in comparison.variants):
        return ()
    tiles = study.members[0].objective.dataset.num_records(split)
    return (
        f"None of the {tiles} tiles of {split} holds foreground: F1 is not defined, variants are "
        "neither ranked nor compared, and the lowest validation loss chose each member's parameters"
        if split == SPLIT
        else f"None of the {tiles} tiles of {split} holds foreground: F1 is not defined, and "
        "variants are neither ranked nor compared",
    )


def sample_of(study: Study, comparison: Comparison, split: str) -> Sample:
    """Describe the data of a comparison: tiles, scenes and places of the split."""
    dataset = study.members[0].objective.dataset
    return Sample(
        split=split,
        num_tiles=dataset.num_records(split),
        num_scenes=dataset.num_scenes(split),
        num_places=len(comparison.places),
        places_known=comparison.places_known,
    )


def of_the_best(curves: Sequence[LearningCurve]) -> str:
    """Explain how choosing checkpoints on the same split affects the scores; "" without choice."""
    most = max((len(curve.f1) for curve in curves), default=0)
    if most < 2:
        return ""
    return (
        f"The checkpoint of each member is the best of up to {most} evaluations on the same split, "
        "so for all variants the scores are higher than on images that had no part in the choice."
    )


def _ranking(study: Study, comparison: Comparison, split: str, note: str = "") -> Ranking:
    sample = sample_of(study, comparison, split)
    return Ranking(_variant_scores(study, comparison), sample, comparison.num_compared, note)


def _variant_scores(study: Study, comparison: Comparison) -> tuple[VariantScore, ...]:
    differences = {difference.name: difference for difference in comparison.differences}
    scores = []
    for variant, summary in zip(study.variants, comparison.variants, strict=True):
        difference = differences.get(variant.name)
        compared: dict[str, Any] = {}
        if difference:
            compared = {"outcome": difference.outcome, "verdict": difference.verdict}
            if difference.seeds:
                compared |= {
                    "difference": difference.f1,
                    "difference_interval": difference.interval,
                    "difference_refusal": difference.refusal,
                    "p_value": difference.p,
                    "detectable": difference.detectable,
                    "effect_size": difference.effect.size,
                }
        scores.append(
            VariantScore(
                name=variant.name,
                description=variant.describe(),
                seeds_done=len(summary.seeds),
                seeds_asked=len(study.config.study.seeds),
                f1_mean=summary.f1,
                f1_sd=summary.f1_std,
                f1_interval=summary.interval,
                f1_refusal=summary.refusal if math.isfinite(summary.f1) else "",
                f1_by_seed=tuple(summary.f1_by_seed.tolist()),
                iou_mean=summary.iou,
                **compared,
            )
        )
    return tuple(scores)


def _of_variant(
    study: Study, results: Results
) -> list[tuple[str, list[tuple[Member, MemberResult]]]]:
    """Return the evaluated members of each variant; variants without any are left out."""
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
        # A low contrast hides the difference between dates only if dates are exchanged.
        swaps = bool(process.mix.swap) or options.kind != "structured"
        is_pair = len(member.objective.task.image_keys) > 1 and swaps
        f1 = np.stack([foreground_f1(r.sweep) for _, r in pairs])
        if np.isnan(f1).all():
            continue  # no foreground is labelled, so there is nothing to draw
        sweeps.append(
            Sweep(
                variant=name,
                timesteps=result.timesteps,
                f1=f1,
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
        if not sees_noise(member.objective.config):
            continue
        source = member.objective.dataset.source(SPLIT)
        (pick,) = spread(_has_foreground(result), 1)
        found.append(noised_inputs(member.objective, source[pick], name))
    return tuple(found)


def _pictures(study: Study, done: Results) -> tuple[ScenePictures, ...]:
    number = study.config.study.num_scenes
    if not number:
        return ()
    first = done[0][0]
    places = first.objective.dataset.record_places(SPLIT)
    picks = _one_a_place(places, _has_foreground(done[0][1]), number)
    predictors: dict[int, RecordPredictor] = {}
    rows, by_variant = [], []
    for name, pairs in _of_variant(study, done):
        member = pairs[0][0]
        run, objective = member.run, member.objective
        group = next(i for i, g in enumerate(study.groups) if member in g)
        predictor = predictors.setdefault(group, RecordPredictor(objective, SPLIT))
        experiment = run.experiment
        _, params = restore_best(run.workdir, experiment.config, experiment.model, experiment.mesh)
        rows = predictor(params, objective.process, picks)
        by_variant.append((name, [row.probabilities for row in rows]))
    return tuple(
        scene_pictures(
            first.objective,
            places[pick],
            rows[i],
            [(name, probabilities[i]) for name, probabilities in by_variant],
        )
        for i, pick in enumerate(picks)
    )


def _one_a_place(places: Sequence[str], has_foreground: np.ndarray, number: int) -> list[int]:
    """Pick one record, if possible with foreground, of each of `number` places over the split."""
    best: dict[str, int] = {}
    for i, place in enumerate(places):
        if place not in best or (has_foreground[i] and not has_foreground[best[place]]):
            best[place] = i
    candidates = np.array(sorted(best.values()))
    return candidates[spread(has_foreground[candidates], number)].tolist()


def _has_foreground(result: MemberResult) -> np.ndarray:
    return result.confusions[:, 1:].sum(axis=(1, 2)) > 0
