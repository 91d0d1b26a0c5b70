"""The study of `python -m benchmarks study`: eight schedules, a thin backbone, drawn scenes."""

from ml_collections import ConfigDict

from configs import default, demo_ss

SCHEDULES = {
    "linear": "noise.schedule=linear",
    "linear to 0.01": "noise.schedule=linear noise.beta_end=0.01",
    "linear to 0.04": "noise.schedule=linear noise.beta_end=0.04",
    "scaled linear": "noise.schedule=scaled_linear",
    "cosine": "noise.schedule=squaredcos_cap_v2",
    "sigmoid": "noise.schedule=sigmoid",
    "zero terminal snr": "noise.schedule=zero_terminal_snr",
    "karras": "noise.schedule=karras",
}


def get_config(kind: str = "study") -> ConfigDict:
    """Return the experiment: `study`, or `alone` for one member of it."""
    config = demo_ss.get_config()
    config.model.sample_size = 32  # tiles of 64 at half their resolution
    config.train.batch_size = 8
    config.train.num_steps = 300
    config.train.eval_every_steps = 150
    if kind == "alone":
        return config
    variants = [f"{name}: {overrides}" for name, overrides in SCHEDULES.items()]
    config = default.study(config, variants, reference="linear")
    config.study.num_timesteps = 0
    return config
