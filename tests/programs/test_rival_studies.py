"""Studies of networks by the command line, on miniatures of the paper's datasets."""

import csv
import json

import programs
import pytest

from data_prep.miniatures import whu

PREPARE = {  # study -> miniature, source within it, data_prep
    "rivals_ss:whu": ("whu", whu.TILES, ("whu", "--task=ss", "--resize=32")),
    "rivals_cd:whu": ("whu", whu.WHOLE, ("whu", "--task=cd")),
    "rivals_ss:spacenet7": ("spacenet7", ".", ("spacenet7", "--task=ss")),
    "rivals_cd:spacenet7": ("spacenet7", ".", ("spacenet7", "--task=cd")),
    "rivals_ss:xview2": ("xview2", ".", ("xview2", "--target=buildings", "--resize=32")),
    "rivals_cd:xview2": ("xview2", ".", ("xview2", "--target=damage", "--resize=32")),
}
SHORT = ("rivals_cd:whu",)  # the others are as this one but for the data
RIVALS = {  # the smallest of each task
    "rivals_ss": (
        "pspnet",
        {"encoder": {"widths": [4, 4, 4], "blocks": [1, 1]}, "psp_out_channels": 4},
    ),
    "rivals_cd": ("fc_siam_diff_original", {"widths": [4], "convolutions": [1]}),
}
THIN = (
    "--config.data.tile_size=32",
    "--config.model.sample_size=0",
    "--config.model.unet.block_out_channels=8,",
    "--config.model.unet.layers_per_block=1",
    "--config.model.unet.attention_levels=()",
    "--config.model.unet.norm_num_groups=4",
    "--config.train.num_steps=2",
    "--config.train.batch_size=4",
    "--config.train.eval_every_steps=2",
    "--config.eval.batch_size=4",
    "--config.train.num_microbatches=1",
    "--config.train.log_every_steps=1",
    "--config.study.seeds=0,1",
    "--config.study.execution=dispatch",
    "--config.study.tune=('train.learning_rate=1e-3|3e-3',)",
    "--config.study.num_scenes=2",
    "--config.study.cost_repeats=1",
)


@pytest.fixture(scope="module")
def study(cache, tmp_path_factory):
    """Prepare the data of a study, and return its options and work folder."""
    folder = tmp_path_factory.mktemp("miniatures")

    def prepare(name):
        miniature, below, builder = PREPARE[name]
        config, _, data = name.partition(":")
        if not (folder / miniature).exists():
            programs.data_prep("miniature", miniature, f"--output={folder / miniature}")
        programs.data_prep(
            *builder,
            f"--source={folder / miniature / below}",
            f"--data_dir={folder / name}",
            "--tile_size=32",
            "--num_workers=1",
        )
        rival, fields = RIVALS[config]
        text = json.dumps(fields, separators=(",", ":"))
        variants = ("paper", f"{rival}: model.name={rival} model.options={text}")
        options = (
            f"--config=configs/{config}.py:{data}",
            f"--workdir={folder / name}_study",
            f"--config.data.data_dir={folder / name}",
            *THIN,
            f"--config.study.variants={variants!r}",
        )
        return options, folder / f"{name}_study", rival

    return prepare


@pytest.mark.parametrize(
    "name", [n if n in SHORT else pytest.param(n, marks=pytest.mark.long) for n in PREPARE]
)
def test_networks_are_tuned_compared_measured_and_tested(name, study, cache):
    options, workdir, rival = study(name)
    done = programs.run((*options, "--mode=ablate"), programs.environment(cache))
    chosen = json.loads((workdir / "tuning" / "chosen.json").read_text())
    assert list(chosen) == ["paper", rival]
    assert f"tuned       {rival}: train.learning_rate=" in done.stdout
    rows = list(csv.DictReader((workdir / "report" / "results.csv").read_text().splitlines()))
    assert [row["method"] for row in rows] == ["paper", rival]
    assert {row["seeds"] for row in rows} == {"0 1"}

    costs = list(csv.DictReader((workdir / "report" / "costs.csv").read_text().splitlines()))
    assert [row["variant"] for row in costs] == ["paper", rival]
    assert costs[0]["parameters"] != costs[1]["parameters"]
    for row in costs:
        # Float32 parameters and two moments of each, which Adam keeps.
        assert int(row["train_memory_bytes"]) > 12 * int(row["parameters"]) > 0
        assert float(row["forward_gflop"]) > 0
        for rate in ("train_images_per_second", "predict_images_per_second"):
            assert 0 < float(row[f"{rate}_least"]) <= float(row[rate])
    assert (workdir / "report" / "costs.md").read_text() in done.stdout
    # The comparison is of the chosen values; tuning has no verdicts and no costs.
    for name in ("costs.json", "report"):
        assert not (workdir / "tuning" / name).exists()
    page = (workdir / "report" / "index.html").read_text()
    assert "What the networks cost" in page
    seen = page.split('<section id="noised">')[1].split("</section>")[0]
    assert "paper" in seen
    assert rival not in seen  # it sees no noise

    done = programs.run((*options, "--mode=final"), programs.environment(cache))
    final = list(csv.DictReader((workdir / "report" / "final.csv").read_text().splitlines()))
    assert [(row["method"], row["split"]) for row in final] == [
        (method, "test") for method in ("paper", rival)
    ]
    assert (workdir / "report" / "costs.csv").is_file()
    assert "costs       measured" not in done.stdout
