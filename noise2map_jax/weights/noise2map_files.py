"""Noise2Map in an export: the backbone for diffusers, the full model with the authors' names.

config.json, diffusion_pytorch_model.safetensors    the backbone, as diffusers saves it
noise2map_<task>.safetensors                        backbone and projections, authors' names
"""

import dataclasses
import pathlib
from typing import Any

from ml_collections import ConfigDict

from noise2map_jax.network.model import Noise2Map, as_noise2map
from noise2map_jax.weights.authors import load_authors, to_authors
from noise2map_jax.weights.diffusers import load_diffusers, save_diffusers
from noise2map_jax.weights.finished_run import FinishedRun
from noise2map_jax.weights.layout import About, Layout
from noise2map_jax.weights.safetensors_file import write_safetensors

INTRODUCTION = """\
Weights of [Noise2Map](https://arxiv.org/abs/2604.27889): a diffusion U-Net that predicts a map in
one forward pass from an image mixed with structured noise, trained with noise2map_jax.
The license is not chosen yet: if you publish this folder, add a `license:` line above.
"""

USE_BACKBONE = """\
The backbone with [diffusers](https://github.com/huggingface/diffusers) (PyTorch):

```python
from diffusers import UNet2DModel

unet = UNet2DModel.from_pretrained("FOLDER")
```

and with noise2map_jax (JAX and Flax, no PyTorch needed):

```python
from noise2map_jax.weights import load_diffusers

unet, params = load_diffusers("FOLDER")  # unet.apply({"params": params}, images, timesteps)
```
"""

USE_ALL = """\
The whole network:

```python
from noise2map_jax.weights.export import load_export

config, model, params = load_export("FOLDER")
# model.apply({"params": params}, x_t, timesteps, task=TASK) -> [B, H, W, outputs]
```

`x_t` is `signal[t] * x + noise[t] * n(x)` for images `x` scaled to [-1, 1];
`noise2map_jax.method.noise.add_noise` computes it, and `t` and `n` are given below. To start a
training run from these weights, use `--config.init_from=FOLDER`.
"""

CITATION = """\
```bibtex
@article{noise2map2026,
  title   = {Noise2Map: End-to-End Diffusion Model for Semantic Segmentation and Change Detection},
  author  = {Shibli and Nascetti and Ban},
  journal = {IEEE Transactions on Geoscience and Remote Sensing},
  year    = {2026},
  note    = {arXiv:2604.27889}
}
```
"""


def write(
    folder: pathlib.Path, run: FinishedRun, max_shard_size: int | None
) -> tuple[list[str], dict[str, str]]:
    """Write the files, see `Layout`."""
    model = as_noise2map(run.model, "this layout")
    tasks = [h.task for h in model.heads if f"{h.task}_output_conv" in run.params]
    unet = dataclasses.replace(model.unet, sample_size=run.sample_size // model.patch_size)
    save_diffusers(folder, unet, run.params["unet"], max_shard_size=max_shard_size)
    for task in tasks:
        write_safetensors(folder / head_file(task), to_authors(run.params, task))
    weights = sorted(path.name for path in folder.glob("diffusion_pytorch_model*"))
    return tasks, {
        "config.json": "the backbone's shape, as diffusers writes it",
        **{name: "the backbone (float32)" for name in weights},
        **{
            head_file(task): f"the full model for `{task}`, with the names of the authors' code"
            for task in tasks
        },
    }


def read(
    folder: pathlib.Path, config: ConfigDict, model: Noise2Map, tasks: list[str]
) -> dict[str, Any]:
    """Read the whole tree of parameters, see `Layout`."""
    del config
    _, unet = load_diffusers(folder)
    params: dict[str, Any] = {"unet": unet}
    for task in tasks:
        found = load_authors(folder / head_file(task), model, task)
        params |= {name: value for name, value in found.items() if name != "unet"}
    return params


def about(run: FinishedRun) -> About:
    """Introduce the network."""
    del run
    return About(
        title="Noise2Map",
        tags=("noise2map", "diffusion", "diffusers", "arxiv:2604.27889"),
        introduction=INTRODUCTION,
        uses=(USE_BACKBONE, USE_ALL),
        citation=CITATION,
    )


def head_file(task: str) -> str:
    """Return the name of the file with a task's full model."""
    return f"noise2map_{task}.safetensors"


NOISE2MAP = Layout(write, read, about, splits=True)
