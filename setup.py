"""Packaging of noise2map_jax."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (ROOT / "noise2map_jax" / "__init__.py").read_text()
).group(1)

GIS = [
    *("pyogrio>=0.10", "pyarrow>=17", "pyproj>=3.7"),  # polygons of maps
    "scikit-image>=0.25",  # the shift between dates
    *("xarray>=2024.10", "rioxarray>=0.18"),  # maps of arrays with coordinates
]

CLOUD = ["s3fs>=2024.10", "gcsfs>=2024.10"]  # noise2map_jax.buckets

SERVE = ["starlette>=0.46", "uvicorn>=0.34", "python-multipart>=0.0.20", "prometheus_client>=0.21"]

TEST = [
    *("pytest>=8", "pytest-timeout", "pytest-xdist", "hypothesis", "ruff", "mypy"),
    "import-linter>=2.7",  # the floors of both packages: contracts in pyproject.toml
    *("tensorboard", "huggingface_hub>=0.34"),
    *("onnx>=1.16", "onnxruntime>=1.17"),  # exported networks give the same maps
    *("nbclient>=0.10", "nbformat>=5.10", "ipykernel>=6.29"),  # docs/quickstart.ipynb is run
    "dask>=2024.7",  # arrays of xarray that are read when they are asked for
    "setuptools>=77",  # builds the wheel that is tested
    "filelock",  # of the folder of compiled programs, which several tests use at once
    "playwright>=1.45",  # drives the Chromium of the system, where there is one
    *GIS,
    *SERVE,
    "httpx>=0.28",  # talks to the service
    *CLOUD,
    *("moto[server]>=5", "gcp-storage-emulator>=2024.8"),  # buckets on this machine
]

setup(
    name="noise2map_jax",
    version=VERSION,
    description="Noise2Map: maps of buildings and their changes from a diffusion U-Net, in JAX",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    author="The noise2map_jax authors",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    keywords=[
        *("remote sensing", "semantic segmentation", "change detection", "building footprints"),
        *("diffusion models", "jax", "flax"),
    ],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: GIS",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    packages=find_packages(
        include=["noise2map_jax", "noise2map_jax.*", "data_prep", "data_prep.*"]
    ),
    # The experiments are a folder at the top of a checkout, and a part of the installed package.
    package_dir={"noise2map_jax.configs": "configs"},
    entry_points={
        "console_scripts": [
            "noise2map = noise2map_jax.main:run",
            "noise2map-predict = noise2map_jax.predict:main",
            "noise2map-polygonize = noise2map_jax.polygonize:main",
            "noise2map-score = noise2map_jax.score:main",
            "noise2map-export = noise2map_jax.export:main",
            "noise2map-serve = noise2map_jax.serve:main",
            "noise2map-rank = noise2map_jax.rank:main",
            "noise2map-weights = noise2map_jax.weights.__main__:main",
            "noise2map-data = data_prep.__main__:main",
        ],
    },
    install_requires=[
        "absl-py",
        "chex>=0.1.90",
        "etils[epath]>=1.12",
        "filelock>=3.12",
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
        "data_prep": ["py.typed"],
        "noise2map_jax": ["py.typed"],
        "noise2map_jax.cost": ["gpus/*.txtpb"],
        "data_prep.protocols": ["*.json"],
        "noise2map_jax.page": ["templates/*"],
        "noise2map_jax.serving": ["static/*"],
        "noise2map_jax.weights": ["drawn/*.safetensors"],
    },
    extras_require={
        "test": TEST,
        "gis": GIS,
        "serve": [*SERVE, *GIS],  # noise2map_jax.serve
        # Compares live with the reference implementation; the only place that needs torch.
        "parity": ["torch>=2.5", "diffusers>=0.35"],
        "onnx": ["onnx>=1.16"],  # noise2map_jax.export --format=onnx
        "cloud": CLOUD,  # --workdir=s3://..., --config.data.data_dir=gs://...
        "hub": ["huggingface_hub>=0.34"],  # init_from="hf:OWNER/REPO/FOLDER"
        "mutation": ["cosmic-ray>=8.4"],  # benchmarks.mutation: do the tests find small faults?
        "tensorboard": ["tensorboard"],
        "docs": [  # make docs
            *("mkdocs>=1.6,<2", "mkdocs-material>=9.7", "mkdocstrings[python]>=1.0"),
            "ruff",  # formats the signatures
        ],
        "beam": ["apache-beam>=2.77"],  # data_prep --beam_runner
        "cuda": ["jax[cuda12]>=0.9"],
        "cuda-compile": ["jax[cuda12-local]>=0.9"],  # --topology=h100:8: the compiler alone
        "tpu": ["jax[tpu]>=0.9"],
    },
)
