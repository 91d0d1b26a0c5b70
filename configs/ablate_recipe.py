"""What each part of a recipe gives: the recipe without it, and the authors' recipe beside it.

    python -m noise2map_jax.main --config=configs/ablate_recipe.py:ss --mode=ablate \
        --workdir=runs/recipe_ss
    python -m noise2map_jax.main --config=configs/ablate_recipe.py:cd --mode=ablate \
        --workdir=runs/recipe_cd

The recipes are those of `ss_buildings.py` and `cd_levir.py`, but only 350 and 500 steps long. They
begin with weights of drawn scenes, see there. All variants have the same network (thin, with
patches, which the authors' has not), crops or tiles of the same size, and the same number of images
seen; the last weights count, so none gains by a choice on validation. `authors_recipe` is what the
authors' code does otherwise, but it begins with random values, not with a pretrained backbone: Adam
with a constant learning rate of 1e-4, no augmentation but the crops, no average of the weights, no
clipping, t from [0, 1000), cross-entropy with the weights of their SpaceNet7 settings, tiles read
as often as they come.

The recipe at its full length beside the authors', and beside itself without noise. All choose the
best of four checkpoints, as the recipe does:

    python -m noise2map_jax.main --config=configs/ablate_recipe.py:ss,whole --mode=ablate \
        --workdir=runs/recipe_ss_whole

What more steps and more labels buy, each length or share a variant of its own; labels with 350 and
500 steps:

    python -m noise2map_jax.main --config=configs/ablate_recipe.py:ss,steps --mode=ablate \
        --workdir=runs/recipe_ss_steps
    python -m noise2map_jax.main --config=configs/ablate_recipe.py:ss,labels --mode=ablate \
        --workdir=runs/recipe_ss_labels

What to do with about 20 labelled images: 350 and 500 steps on a share of the scenes, other ways,
and no training at all:

    python -m noise2map_jax.main --config=configs/ablate_recipe.py:ss,small --mode=ablate \
        --workdir=runs/recipe_ss_small
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import cd_levir, default, ss_buildings
from noise2map_jax.errors import UserError
from noise2map_jax.study.variants import CONTROLS

TASKS = {"ss": ss_buildings, "cd": cd_levir}
STEPS = {"ss": 350, "cd": 500}  # of the studies that train many variants: minutes each
CURVES = {"steps": "train.num_steps", "labels": "train.scene_share"}
OTHERS = ("whole", *CURVES, "small")  # studies besides that of the parts
ALL_TIMESTEPS = "noise.timestep_range=0,0"
# The weights of their settings for SpaceNet7.
AUTHORS_WEIGHTS = {"ss": "train.class_weights=1.0,5.0", "cd": "train.class_weights=1.0,3.0"}
FROM_RANDOM = "init_from="
NO_LIGHT = "augment.brightness=0.0 augment.contrast=0.0"
NO_COLOUR = "augment.colour=0.0 augment.blur=0.0"
NO_ZOOM = "augment.zoom=1.0,1.0"
NO_FLIPS = "augment.flips_and_turns=False"
CONSTANT = "train.cosine=False train.warmup_steps=0"
CONTROLS_OF_RECIPE = {
    "clean": "noise.kind=clean",
    "clean_timestep": "noise.kind=clean_timestep",
}
PARTS = {
    "no drawn scenes": FROM_RANDOM,
    "no light": NO_LIGHT,
    "no colour, no blur": NO_COLOUR,
    "no zoom": NO_ZOOM,
    "no flips": NO_FLIPS,
    "constant rate, no average": f"{CONSTANT} train.ema_decay=0.0",
    **CONTROLS_OF_RECIPE,
}
# With few images.
SMALL = {
    "no drawn scenes": FROM_RANDOM,
    "weak augmentation": f"{NO_LIGHT} {NO_COLOUR} {NO_ZOOM}",
    "no colour, no blur": NO_COLOUR,
    "images of all places": "train.share_by_place=True",
    # The weights of drawn scenes as they are: the score without any label.
    "no training": "train.num_steps=1 train.eval_every_steps=1 train.learning_rate=0.0",
}
SMALL_SHARE = {"ss": 0.15, "cd": 0.6}  # 20 of the 136 images of `buildings`, 21 of 35 pairs
SMALL_INITIAL_SHARE = {"ss": 0.5, "cd": 0.0}  # the fewer labels, the more of the initial weights
TRAINED_ALONE = "train.initial_share=0.0"
PARTS_OF_TASK = {
    "ss": {
        "places as they come": "train.place_power=1.0",
        "trained weights alone": TRAINED_ALONE,
    },
    "cd": {
        "dates exchanged": "augment.exchange_dates=True",
        "no unchanged pairs": "augment.unchanged=0.0",
        "all timesteps": ALL_TIMESTEPS,
    },
}
AUTHORS = (
    *CONTROLS["paper"],
    *("train.optimizer=adam", "train.learning_rate=1e-4", CONSTANT, "train.ema_decay=0.0"),
    *("train.max_gradient_norm=0.0", FROM_RANDOM, NO_LIGHT, NO_COLOUR, NO_ZOOM, NO_FLIPS),
    *("augment.exchange_dates=False", "augment.unchanged=0.0", "train.place_power=1.0"),
    TRAINED_ALONE,
)


def get_config(argument: str = "ss") -> ConfigDict:
    """Return the study of a task, or another one of it: `ss`, `cd`, `ss,whole`, `cd,whole` etc."""
    task, _, study = argument.partition(",")
    if task not in TASKS or study not in ("", *OTHERS) or argument.endswith(","):
        others = " ".join(f"{name},{other}" for name in TASKS for other in OTHERS)
        raise UserError(f"no study {argument!r}; expected one of: {' '.join(TASKS)} {others}")
    config = TASKS[task].get_config()
    whole, few = config.train.num_steps, STEPS[task]
    small = SMALL | {"a quarter of the steps": _steps(few // 4)}
    if SMALL_INITIAL_SHARE[task]:
        small["trained weights alone"] = TRAINED_ALONE
    variants = {
        "": _parts(task, PARTS | PARTS_OF_TASK[task]),
        "whole": _parts(task, CONTROLS_OF_RECIPE),
        "steps": _lengths(few),
        "labels": _shares(),
        "small": _parts(task, small),
    }[study]
    if study not in ("whole", "steps"):
        config.train.num_steps = config.train.eval_every_steps = few
    if study == "small":
        config.train.scene_share = SMALL_SHARE[task]
        config.train.initial_share = SMALL_INITIAL_SHARE[task]
    config.eval.group_regex = ""
    reference = {"labels": "100%", "steps": f"{whole} steps"}.get(study, "recipe")
    config = default.study(config, variants, reference=reference)
    config.study.over = CURVES.get(study, "")
    config.study.num_timesteps = 0
    return config


def _parts(task: str, parts: dict[str, str]) -> tuple[str, ...]:
    """Return the recipe, the authors', and the recipe without each of some parts."""
    return _variants(
        {
            "recipe": "noise.kind=structured",
            "authors_recipe": " ".join((*AUTHORS, AUTHORS_WEIGHTS[task])),
            **{f"recipe, {name}": what for name, what in parts.items()},
        }
    )


def _shares() -> tuple[str, ...]:
    """Return variants that are trained on parts of the scenes."""
    shares = (0.1, 0.25, 0.5, 1.0)
    return _variants({f"{share:.0%}": f"{CURVES['labels']}={share}" for share in shares})


def _lengths(few: int) -> tuple[str, ...]:
    """Return variants of several lengths, which all choose among four checkpoints."""
    quarters = (few // 16, few // 4, few, 4 * few)
    return _variants({f"{4 * quarter} steps": _steps(quarter, 4) for quarter in quarters})


def _steps(between: int, evaluations: int = 1) -> str:
    return f"train.num_steps={evaluations * between} train.eval_every_steps={between}"


def _variants(fields: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{name}: {what}" for name, what in fields.items())
