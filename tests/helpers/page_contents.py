"""Small contents of pages, for tests of the pages."""

import dataclasses

import numpy as np

from noise2map_jax.page.content import (
    ClassScore,
    NoisedInputs,
    PlaceScores,
    Prediction,
    Ranking,
    RunPage,
    Sample,
    ScenePictures,
    StepPart,
    StudyPage,
    VariantScore,
)
from noise2map_jax.page.curves import LearningCurve, Sweep
from noise2map_jax.page.network_costs import NetworkCost, NetworkCosts, Rate

MACHINE = "1 x cpu, AMD EPYC, 2 cores, jax 0.10.2, Python 3.11.7, 2026-11-29"
VARIANTS = ("paper", "cosine", "clean")
F1 = (0.84, 0.88, 0.71)
HOSTILE = '<script>alert("1")</script>&$x_{$\\frac{"\' \x00\x1b' + "é漢" * 80
SAMPLE = Sample("val", num_tiles=320, num_scenes=80, num_places=23, places_known=True)
SCENES = ("area_10", "area_9", "area_1")
SCENE_F1 = np.array([[0.5, 0.75, 0.25], [0.9, np.nan, 0.2], [0.7, 0.8, 0.1]])


def a_score(name, f1, reference="paper"):
    score = VariantScore(name, f"noise.kind={name}", 3, 3, f1, 0.01, (f1 - 0.02, f1 + 0.02))
    score = dataclasses.replace(
        score, f1_by_seed=(f1 - 0.01, f1, f1 + 0.01), iou_mean=f1 / (2 - f1)
    )
    if name == reference:
        return score
    difference = f1 - F1[0]
    return dataclasses.replace(
        score,
        difference=difference,
        difference_interval=(difference - 0.03, difference + 0.03),
        p_value=0.0312,
        detectable=0.042,
        effect_size=difference / 0.01,
        outcome="better" if difference > 0 else "worse",
        verdict="Differs from the reference.",
    )


def some_pictures(num_images=2, size=32, classes=2, variants=VARIANTS):
    rng = np.random.default_rng(0)
    images = tuple(rng.integers(0, 255, (size, size, 3), np.uint8) for _ in range(num_images))
    truth = rng.integers(0, classes, (size, size)).astype(np.uint8)
    truth[:2] = 255
    predictions = tuple(
        Prediction(name, rng.integers(0, classes, (size, size)), rng.random((size, size)), 0.5)
        for name in variants
    )
    return tuple(ScenePictures(name, images, truth, predictions) for name in SCENES[:2])


def some_curves(variants=VARIANTS, seeds=2):
    steps = np.arange(1, 501)
    return tuple(
        LearningCurve(name, seed, steps, 1 / steps, steps[::50], 0.8 - 0.5 / steps[::50])
        for name in variants
        for seed in range(seeds)
    )


def some_noised(num_images=2, variants=VARIANTS):
    shape = (3, 2, 32, 32, 3) if num_images == 2 else (3, 32, 32, 3)
    return tuple(NoisedInputs(name, (0, 500, 999), np.zeros(shape, np.uint8)) for name in variants)


def some_costs(variants=VARIANTS):
    first = NetworkCost(
        variant=variants[0],
        parameters=113_673_219,
        flops=494.5e9,
        image_size=256,
        training=Rate(12.3456, 11.0, 13.5),
        train_batch=16,
        train_size=128,
        prediction=Rate(40.0, 38.0, 41.0),
        predict_batch=8,
        passes=1,
        train_memory=3 * 2**30,
    )
    others = (
        dataclasses.replace(first, variant=name, parameters=10**i, flops=1e9 * i, passes=i)
        for i, name in enumerate(variants[1:], start=4)
    )
    rows = (
        first,
        *(dataclasses.replace(o, passes=4 if i == 0 else 1) for i, o in enumerate(others)),
    )
    return NetworkCosts(rows, 5, MACHINE, "python -m noise2map_jax.main --mode=ablate")


def a_ranking(sample=SAMPLE, shift=0.0):
    scores = tuple(a_score(name, f1 + shift) for name, f1 in zip(VARIANTS, F1, strict=True))
    return Ranking(scores, sample, 2, "The best of 10 evaluations.")


def a_study(**fields):
    """Return the content of a study of three variants, with every part; `fields` replace some."""
    timesteps = np.array([0, 250, 500, 999])
    contrast = np.abs(np.linspace(1, -1, 1000))
    study = StudyPage(
        title="A study",
        protocol="320 tiles of 80 scenes",
        command="python -m noise2map_jax.main --mode=ablate --config.study.seeds=0,1,2",
        config="noise:\n  kind: swap",
        reference="paper",
        ranking=a_ranking(),
        test_note="The test split has not been opened.",
        classes=("no_change", "change"),
        notes=("clean, seed 2 failed: not finite at step 120",),
        sweeps=tuple(
            Sweep(name, timesteps, np.full((3, 4), f1), contrast, "linear")
            for name, f1 in zip(VARIANTS, F1, strict=True)
        ),
        curves=some_curves(),
        noised=some_noised(),
        pictures=some_pictures(),
        pictures_note="Predictions of seed 0.",
        place_scores=PlaceScores(SCENES, VARIANTS, SCENE_F1),
    )
    return dataclasses.replace(study, **fields)


def a_hostile_study():
    """Return a study whose names are long and hold rare characters and markup."""
    study = a_study()
    first, second, _ = study.ranking.variants

    def rename(parts):
        return tuple(dataclasses.replace(part, variant=HOSTILE) for part in parts)

    return dataclasses.replace(
        study,
        **dict.fromkeys(("title", "protocol", "command", "config", "test_note"), HOSTILE),
        reference=HOSTILE,
        classes=(HOSTILE, HOSTILE),
        notes=(HOSTILE,),
        ranking=Ranking(
            (
                dataclasses.replace(first, name=HOSTILE, description=HOSTILE),
                dataclasses.replace(
                    second, outcome=HOSTILE, verdict=HOSTILE, difference_refusal=HOSTILE
                ),
            ),
            dataclasses.replace(SAMPLE, split=HOSTILE),
            1,
            HOSTILE,
        ),
        sweeps=tuple(dataclasses.replace(s, schedule=HOSTILE) for s in rename(study.sweeps)),
        curves=rename(study.curves),
        noised=rename(study.noised),
        pictures=some_pictures(variants=(HOSTILE,)),
        pictures_note=HOSTILE,
        place_scores=PlaceScores((HOSTILE,), (HOSTILE,), np.array([[0.5]])),
    )


def a_run(**fields):
    """Return the content of a run, with every part; `fields` replace some."""
    run = RunPage(
        title="A run",
        protocol="11 tiles",
        command="python -m noise2map_jax.main --config=configs/demo_ss.py",
        config="seed: 0",
        scores=(
            ClassScore("background", 0.98, 0.96, 0.985, 0.976),
            ClassScore("building", 0.9265, 0.8631, 0.91, float("nan")),
            ClassScore("rail", 0.1, 0.05, 0.2, 0.3),
        ),
        classes=("background", "building", "rail"),
        samples=(
            (2000, np.zeros((24, 36, 3), np.uint8)),
            (4000, np.full((24, 36, 3), 9, np.uint8)),
        ),
        profile=(StepPart("up_blocks_0 backward", 61.25, 0.6), StepPart("optimizer", 40.8, 0.4)),
        curves=some_curves(("run",), 1),
        noised=some_noised(1, ("run",)),
        pictures=some_pictures(1, classes=3, variants=("run",)),
    )
    return dataclasses.replace(run, **fields)
