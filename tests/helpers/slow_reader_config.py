"""The thin config; the second process of a run waits for each of its batches on purpose."""

import sys
import time

import thin_config

from noise2map_jax.training import reading

SECONDS = 3.0  # a busy machine delays the first process, too, by less
train_batches = reading.train_batches


def _slowly(*arguments, **options):
    for batch in train_batches(*arguments, **options):
        time.sleep(SECONDS)
        yield batch


def get_config():
    if "--process_id=1" in sys.argv:
        reading.train_batches = _slowly
    config = thin_config.get_config()
    config.train.log_every_steps = 2
    return config
