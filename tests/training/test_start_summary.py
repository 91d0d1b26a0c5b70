import thin_config

from noise2map_jax.devices.execution import create_execution
from noise2map_jax.experiment.experiment import create_experiment
from noise2map_jax.training.start_summary import start_summary
from noise2map_jax.training.trainer import Run, Trainer


def test_what_is_left_unused_of_the_devices_is_told_at_the_start(thin_data, tmp_path, monkeypatch):
    config = thin_config.get_config()
    config.data.data_dir = str(thin_data)
    run = Run(create_experiment(config), tmp_path)
    start = Trainer(run.experiment, create_execution("dispatch", 1)).start([run], tmp_path)
    quiet = start_summary(run, start, 20, {}, warmup_asked=0)
    assert "warning" not in quiet  # of CPUs there is nothing to say

    config.model.update(patch_size=2, sample_size=0)
    narrow = Run(create_experiment(config), tmp_path)
    summary = start_summary(narrow, start, 20, {}, warmup_asked=0)
    wanted = config.model.unet.in_channels, config.model.unet.out_channels
    for name, own, needed in zip(("in", "out"), wanted, (12, 8), strict=True):
        line = f"model.unet.{name}_channels is {own}, fewer than the {needed} numbers of a patch"
        assert (line in summary) == (own < needed)
    assert "fewer than" in summary

    monkeypatch.setattr(
        "noise2map_jax.training.start_summary.placement_warnings",
        lambda config, mesh, state: [f"{config.train.batch_size} images on {mesh.size} devices"],
    )
    assert "\nwarning     8 images on 8 devices" in start_summary(run, start, 20, {}, 0)
