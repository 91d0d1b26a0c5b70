"""The paper's experiments, from the owner's layout to scores and pictures, on miniatures."""

import json

import programs
import pytest

from data_prep.miniatures import whu

PREPARE = {  # config -> miniature, source within it, data_prep
    "ss_spacenet7": ("spacenet7", ".", ("spacenet7", "--task=ss")),
    "cd_spacenet7": ("spacenet7", ".", ("spacenet7", "--task=cd")),
    "ss_whu": ("whu", whu.TILES, ("whu", "--task=ss", "--resize=32")),
    "cd_whu": ("whu", whu.WHOLE, ("whu", "--task=cd")),
    "ss_xview2": ("xview2", ".", ("xview2", "--target=buildings", "--resize=32")),
    "cd_xview2": ("xview2", ".", ("xview2", "--target=damage", "--resize=32")),
}
THIN = (
    "--config.data.tile_size=32",
    "--config.model.sample_size=32",
    "--config.model.unet.block_out_channels=8,",
    "--config.model.unet.layers_per_block=1",
    "--config.model.unet.attention_levels=()",
    "--config.model.unet.norm_num_groups=4",
    "--config.train.num_steps=3",
    "--config.train.num_microbatches=1",  # written out on CPUs, each is compiled
    "--config.train.log_every_steps=1",
    "--config.train.write_report=False",
)


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    """Write each miniature once: `miniature(name) -> folder`."""
    folder = tmp_path_factory.mktemp("miniatures")

    def write(name):
        if not (folder / name).exists():
            programs.data_prep("miniature", name, f"--output={folder / name}")
        return folder / name

    return write


SHORT = ("ss_spacenet7", "cd_xview2")  # one of each task; the others are as these but for the data


@pytest.mark.parametrize(
    "name",
    [n if n in SHORT else pytest.param(n, marks=pytest.mark.long) for n in PREPARE],
)
def test_a_paper_config_trains_and_is_scored(name, miniature, cache, tmp_path):
    source, below, builder = PREPARE[name]
    programs.data_prep(
        *builder,
        f"--source={miniature(source) / below}",
        f"--data_dir={tmp_path / 'data'}",
        "--tile_size=32",
        "--num_workers=1",
    )
    options = (
        f"--config=configs/{name}.py",
        f"--workdir={tmp_path / 'run'}",
        f"--config.data.data_dir={tmp_path / 'data'}",
        *THIN,
    )
    trained = programs.run(options, programs.environment(cache))
    assert "val foreground F1" in trained.stderr
    assert list(programs.metrics(tmp_path / "run")) == [1, 2, 3]
    done = programs.run((*options, "--mode=eval"), programs.environment(cache))
    (manifest,) = (tmp_path / "data").glob("*/1.0.0/manifest.json")
    split = json.loads(manifest.read_text())["splits"]["test"]
    assert f"split test: {split['num_records']} tiles of 32 x 32" in done.stdout
    scores = json.loads((tmp_path / "run/report/scores_test.json").read_text())
    assert scores["scores"]["all tiles"]["tiles"] == split["num_records"]
    assert 0 <= scores["scores"]["all tiles"]["f1/foreground"] <= 1
    if builder[-1] in ("--task=cd", "--target=damage"):
        assert scores["scores"]["tiles with change"]["tiles"] == split["num_with_change"]
    assert (tmp_path / "run/report/predictions.png").stat().st_size > 10_000


def test_the_papers_pretraining_runs_and_is_begun_with(miniature, cache, tmp_path):
    """Crops of images whose side the network could not take whole: 100 pixels, of which 64."""
    programs.data_prep(
        "aid",
        f"--source={miniature('aid')}",
        f"--data_dir={tmp_path / 'data'}",
        "--tile_size=100",
        "--splits=0.5,0.25,0.25",
    )
    thin = (*THIN[1:], "--config.model.unet.block_out_channels=8,8")
    options = (
        f"--config.data.data_dir={tmp_path / 'data'}",
        "--config.data.tile_size=100",
        "--config.augment.crop_size=64",
        "--config.train.batch_size=4",
        "--config.train.warmup_steps=1",
        "--config.model.dtype=float32",  # CPUs compute bfloat16 slowly
        "--config.eval.num_timestep_bands=2",
        "--config.eval.batch_size=8",
        "--config.eval.num_samples=2",
        "--config.eval.num_sampling_steps=2",
        *(option for option in thin if "sample_size" not in option),
    )
    arguments = ("--config=configs/pretrain_aid.py", f"--workdir={tmp_path / 'run'}", *options)
    programs.run(arguments, programs.environment(cache))
    assert list(programs.metrics(tmp_path / "run")) == [1, 2, 3]
    done = programs.run((*arguments, "--mode=eval"), programs.environment(cache))
    assert "split test" in done.stdout
    assert (tmp_path / "run/report/samples_000003.png").is_file()
