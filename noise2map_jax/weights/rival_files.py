"""A rival in an export: one file with the names of the network's published PyTorch code.

model.safetensors    parameters, and statistics of batch normalisation
"""

import pathlib
from typing import Any

from ml_collections import ConfigDict

from noise2map_jax.experiment.components import abstract_params, trained_sizes
from noise2map_jax.method.tasks import TASKS
from noise2map_jax.network.interface import Network
from noise2map_jax.network.statistics import collections, tree_of
from noise2map_jax.networks.rivals import RIVALS
from noise2map_jax.networks.torch_names import from_torch, to_torch
from noise2map_jax.weights.finished_run import FinishedRun
from noise2map_jax.weights.layout import About, Layout
from noise2map_jax.weights.safetensors_file import MODEL_FILE, read_safetensors, write_safetensors

INTRODUCTION = """\
Weights of {name}{encoder}, trained with noise2map_jax as a network to compare
[Noise2Map](https://arxiv.org/abs/2604.27889) with: with the same data, augmentation and loss.
The license is not chosen yet: if you publish this folder, add a `license:` line above. Mind that of
the weights that training started from, if it did not start from random values.
"""

USE = """\
With noise2map_jax (JAX and Flax, no PyTorch needed):

```python
import noise2map_jax

model = noise2map_jax.load("FOLDER")  # model.predict(image).classes -> [H, W]
```

or the network alone:

```python
from noise2map_jax.network.statistics import variables
from noise2map_jax.weights.export import load_export

config, network, params = load_export("FOLDER")
# network.apply(variables(params), x, timesteps, task=TASK) -> [B, H, W, outputs] float32
```

`x` is an image scaled to [-1, 1]{pair}; the timesteps are not used. To start a training run from
these weights, use `--config.init_from=FOLDER`.
"""

USE_TORCH = """\
With PyTorch: names and shapes of the tensors are those of {named_as}, so that `load_state_dict` of
its network with this encoder and these options takes{partly}

```python
from safetensors.torch import load_file

tensors = load_file("FOLDER/model.safetensors")
```

{scaling}
"""
PARTLY = """, with `strict=False`: the names that it then misses
are constants, and parts that it has under two names, of which the file holds one"""
SCALINGS = {
    "plain": "That network gets images scaled to [-1, 1].",
    "imagenet": "That network gets images in [0, 1], less the mean and divided by the standard "
    "deviation of ImageNet: (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225).",
}


def write(
    folder: pathlib.Path, run: FinishedRun, max_shard_size: int | None
) -> tuple[list[str], dict[str, str]]:
    """Write the file, see `Layout`."""
    del max_shard_size
    write_safetensors(folder / MODEL_FILE, to_torch(collections(run.params)))
    named_as = RIVALS[run.config.model.name].named_as
    what = f"the network (float32), with the names of {named_as}"
    return [head.task for head in run.model.heads], {MODEL_FILE: what}


def read(
    folder: pathlib.Path, config: ConfigDict, model: Network, tasks: list[str]
) -> dict[str, Any]:
    """Read the whole tree of parameters, see `Layout`."""
    del tasks
    shapes = abstract_params(model, trained_sizes(config))
    tensors = read_safetensors(folder / MODEL_FILE)
    source = f"{folder / MODEL_FILE}: the tensors"
    return tree_of(from_torch(tensors, collections(shapes), source=source))


def about(run: FinishedRun) -> About:
    """Introduce the network."""
    model = run.config.model
    choice = RIVALS[model.name]
    encoder = model.encoder or choice.encoder
    several = any(len(TASKS[head.task].image_keys) > 1 for head in run.model.heads)
    pair = ", a pair with its channels one after the other" if several else ""
    scaling = SCALINGS[model.scaling]
    return About(
        title=f"{model.name} ({encoder})" if encoder else model.name,
        tags=(model.name, *([encoder] if encoder else [])),
        introduction=INTRODUCTION.format(
            name=model.name, encoder=f" over {encoder}" if encoder else ""
        ),
        uses=(
            USE.format(pair=pair),
            USE_TORCH.format(
                named_as=choice.named_as, scaling=scaling, partly=PARTLY if choice.repeated else ""
            ),
        ),
    )


RIVAL = Layout(write, read, about, splits=False)
