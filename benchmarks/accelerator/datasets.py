"""Data of the benchmark: a prepared dataset, or scenes that are drawn; and a config for it."""

import contextlib
import io

from ml_collections import ConfigDict

from benchmarks.accelerator.job import Job
from data_prep import __main__ as data_prep
from noise2map_jax.data.dataset import DATA_FIELDS, Dataset
from noise2map_jax.data.opening import open_dataset

DRAWN = "drawn_scenes"


def dataset_of(job: Job) -> Dataset:
    """Open the dataset that the job names, or draw scenes; those that are there are kept."""
    if job.dataset:
        return open_dataset(job.dataset, job.data_dir)
    size = job.size
    options = {
        "task": "ss",
        "name": DRAWN,
        "data_dir": job.folder,
        "num_scenes": ",".join(map(str, size.num_scenes)),
        "scene_size": size.drawn_side,
        "tile_size": size.tile_size,
    }
    if sum(size.num_scenes) < 10:  # quicker than starting further processes
        options["num_workers"] = 1
    with contextlib.redirect_stdout(io.StringIO()):
        data_prep.build(data_prep.parse(["synthetic", *(f"--{k}={v}" for k, v in options.items())]))
    return open_dataset(DRAWN, str(job.folder))


def config_for(job: Job, dataset: Dataset) -> ConfigDict:
    """Return the experiment that trains the job's network on a dataset."""
    size = job.size
    config = job.case(size.train_batch).config()
    config.task = dataset.manifest["task"]
    config.data.dataset = dataset.name
    config.data.data_dir = str(dataset.directory.parents[1])
    for name in DATA_FIELDS:
        value = dataset.manifest[name]
        config.data[name] = tuple(value) if isinstance(value, list) else value
    config.data.scaling = "value_range" if config.data.dtype == "uint8" else "manifest"
    if config.data.tile_size > size.tile_size:
        config.augment.crop_size = size.tile_size
    config.train.class_weights_from = "data"
    config.train.learning_rate = size.learning_rate
    return config
