"""Packaging of noise2map_jax."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (ROOT / "noise2map_jax" / "__init__.py").read_text()
).group(1)

TEST = [
    *("pytest>=8", "pytest-timeout", "pytest-xdist", "hypothesis", "ruff", "mypy"),
    "import-linter>=2.7",  # the floors of both packages: contracts in pyproject.toml
    *("tensorboard", "huggingface_hub>=0.34"),
    "filelock",  # of the folder of compiled programs, which several tests use at once
    "playwright>=1.45",  # drives the Chromium of the system, where there is one
]

setup(
    name="noise2map_jax",
    version=VERSION,
    description="Noise2Map: maps of buildings and their changes from a diffusion U-Net, in JAX",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    python_requires=">=3.11",
    packages=find_packages(
        include=["noise2map_jax", "noise2map_jax.*", "data_prep", "data_prep.*"]
    ),
    install_requires=[
        "absl-py",
        "chex>=0.1.90",
        "etils[epath]>=1.12",
        "flax>=0.12",
        "grain>=0.2.16",
        "importlib_resources",  # tensorflow-datasets needs it and does not say so
        "jax>=0.9",
        "jinja2>=3.1",
        "markupsafe",
        "matplotlib>=3.9",
        "ml-collections>=1.1",
        "numpy>=2.0",
        "optax>=0.2.6",
        "orbax-checkpoint>=0.12,<0.13",  # 0.13 may move CheckpointManager to its v1 API
        "pillow>=11",
        "protobuf",
        "rasterio>=1.4",
        "safetensors>=0.5",
        "scipy>=1.14",
        "shapely>=2.0",
        "tensorboardX>=2.6",
        "tensorflow-datasets>=4.9.9",  # works without TensorFlow
        "tqdm",
    ],
    package_data={
        "data_prep.protocols": ["*.json"],
        "noise2map_jax.page": ["templates/*"],
    },
    extras_require={
        "test": TEST,
        # Compares live with the reference implementation; the only place that needs torch.
        "parity": ["torch>=2.5", "diffusers>=0.35"],
        "hub": ["huggingface_hub>=0.34"],  # init_from="hf:OWNER/REPO/FOLDER"
        "mutation": ["cosmic-ray>=8.4"],  # benchmarks.mutation: do the tests find small faults?
        "tensorboard": ["tensorboard"],
        "docs": [  # make docs
            *("mkdocs>=1.6,<2", "mkdocs-material>=9.7", "mkdocstrings[python]>=1.0"),
            "ruff",  # formats the signatures
        ],
        "beam": ["apache-beam>=2.77"],  # data_prep --beam_runner
        "cuda": ["jax[cuda12]>=0.9"],
        "tpu": ["jax[tpu]>=0.9"],
    },
)
