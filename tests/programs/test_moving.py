"""A run that is gone on with on other devices, its parameters split in other ways."""

import numpy as np
import programs
from programs import metrics

OPTIONS = (
    "--config=tests/helpers/thin_config.py",
    "--config.model.unet.block_out_channels=64,",  # kernels large enough to be split
    "--config.train.ema_decay=0.9",
    "--config.train.eval_every_steps=3",
    "--config.augment.crop_size=16",
    "--config.model.sample_size=0",
    "--config.train.checkpoint_every_steps=100",
)


def test_devices_processes_and_splitting_change_nothing(thin_data, cache, tmp_path):
    def arguments(workdir, num_steps, fsdp):
        return (
            *OPTIONS,
            f"--config.data.data_dir={thin_data}",
            f"--workdir={tmp_path / workdir}",
            f"--config.train.num_steps={num_steps}",
            f"--config.mesh.fsdp={fsdp}",
        )

    programs.run(arguments("one", 6, 1), programs.environment(cache))
    done = programs.run(arguments("moved", 2, 4), programs.environment(cache, 8))
    assert "8 x cpu" in done.stdout
    outputs = programs.run_together(
        arguments("moved", 4, 4), programs.environment(cache, 2), num_processes=2
    )
    assert "4 x cpu in 2 process(es)" in outputs[0]
    assert "resuming at 2" in outputs[0]
    done = programs.run(arguments("moved", 6, 1), programs.environment(cache))
    assert "resuming at 4" in done.stdout

    expected, found = metrics(tmp_path / "one"), metrics(tmp_path / "moved")
    assert list(found) == list(expected) == list(range(1, 7))
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-5)
    # Step 3 is evaluated by two processes, each with its part of the split.
    f1, f1_moved = (metrics(tmp_path / n, "val/f1/foreground") for n in ("one", "moved"))
    assert 3 in f1
    np.testing.assert_allclose(f1_moved[3], f1[3], atol=1e-3)
