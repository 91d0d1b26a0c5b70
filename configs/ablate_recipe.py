"""What each part of a recipe gives: the recipe without it, and the authors' recipe beside it.

    python -m noise2map_jax.main --config=configs/ablate_recipe.py:ss --mode=ablate \
        --workdir=runs/recipe_ss
    python -m noise2map_jax.main --config=configs/ablate_recipe.py:cd --mode=ablate \
        --workdir=runs/recipe_cd

The recipes are those of `ss_buildings.py` and `cd_levir.py`, at a part of their length. All
variants have the same network, data and number of images seen. `authors_recipe` is what the
authors' code does: Adam with a constant learning rate of 1e-4, no augmentation, no average of the
weights, t from [0, 1000), weighted cross-entropy, and the weights of the last step.

What more steps and more labels buy, each length or share a variant of its own:

    python -m noise2map_jax.main --config=configs/ablate_recipe.py:ss,steps --mode=ablate \
        --workdir=runs/recipe_ss_steps
    python -m noise2map_jax.main --config=configs/ablate_recipe.py:ss,labels --mode=ablate \
        --workdir=runs/recipe_ss_labels
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import cd_levir, default, ss_buildings
from noise2map_jax.errors import UserError
from noise2map_jax.study.variants import CONTROLS

TASKS = {"ss": ss_buildings, "cd": cd_levir}
CURVES = {"steps": "train.num_steps", "labels": "train.scene_share"}
PARTS = {
    "no light": "augment.brightness=0.0 augment.contrast=0.0 augment.colour=0.0 augment.blur=0.0",
    "no scale": "augment.zoom=1.0,1.0",
    "no flips": "augment.flips_and_turns=False",
    "no average": "train.ema_decay=0.0",
    "constant rate": "train.cosine=False",
    "every tile as often": "train.place_power=1.0",
}
# The weight of buildings and of change in the loss, as in the authors' settings for SpaceNet7.
AUTHORS_WEIGHTS = {"ss": "1.0,5.0", "cd": "1.0,3.0"}


def get_config(argument: str = "ss") -> ConfigDict:
    """Return the study of a task, `ss` or `cd`; `ss,steps` and `ss,labels` are its curves."""
    task, _, curve = argument.partition(",")
    if task not in TASKS or curve not in ("", *CURVES):
        raise UserError(
            f"no study {argument!r}; expected one of {', '.join(TASKS)}, or of "
            f"{', '.join(f'{name},{of}' for name in TASKS for of in CURVES)}"
        )
    config = TASKS[task].get_config()
    config.eval.group_regex = ""
    steps = config.train.num_steps
    if curve == "steps":
        lengths = [steps // part for part in (64, 16, 4, 2, 1)]
        variants = tuple(
            f"{length} steps: train.num_steps={length} train.eval_every_steps={length // 4}"
            for length in lengths
        )
        config = default.study(config, variants, reference=f"{lengths[-1]} steps")
    else:
        config.train.num_steps, config.train.eval_every_steps = steps // 8, steps // 32
        if curve == "labels":
            shares = (0.1, 0.25, 0.5, 1.0)
            variants = tuple(f"{share:.0%}: train.scene_share={share}" for share in shares)
            config = default.study(config, variants, reference="100%")
        else:
            config = default.study(config, _variants(config, task), reference="recipe")
    config.study.over = CURVES.get(curve, "")
    config.study.num_timesteps = 0
    return config


def _variants(config: ConfigDict, task: str) -> tuple[str, ...]:
    """Return the recipe, the recipe without a part of it, and that of the authors."""
    authors = (
        *CONTROLS["paper"],
        *("train.optimizer=adam", "train.learning_rate=1e-4", "train.warmup_steps=0"),
        *("train.cosine=False", "train.ema_decay=0.0", "train.max_gradient_norm=0.0"),
        *("train.losses=('cross_entropy',)", f"train.class_weights={AUTHORS_WEIGHTS[task]}"),
        *("train.place_power=1.0", "augment.flips_and_turns=False", "augment.paste=0.0"),
        *(PARTS["no light"], PARTS["no scale"]),
        f"train.eval_every_steps={config.train.num_steps}",
        *(("init_from=",) if config.init_from else ()),
    )
    clean = {
        "clean": "noise.kind=clean",
        "clean_timestep": "noise.kind=clean_timestep",
    }
    return (
        "recipe: noise.kind=structured",
        f"authors_recipe: {' '.join(authors)}",
        *(f"recipe, {name}: {fields}" for name, fields in clean.items()),
        *(f"recipe, {name}: {fields}" for name, fields in PARTS.items()),
    )
