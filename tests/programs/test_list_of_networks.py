"""The list of networks in the docs is that of the code."""

import re

import programs
import pytest

from configs import default
from noise2map_jax.experiment.components import abstract_params, count_params
from noise2map_jax.experiment.network_choice import NOISE2MAP, create_model
from noise2map_jax.network.statistics import STATISTICS
from noise2map_jax.networks.rivals import ENCODERS, RIVALS

PAGE = (programs.ROOT / "docs" / "rivals.md").read_text()
ROWS = {
    cells[0].strip("`"): cells
    for line in re.findall(r"^\| `(?!--)(.*) \|$", PAGE, re.MULTILINE)
    for cells in [[cell.strip() for cell in line.split("|")]]
}
KINDS = {"ResNet": "ResNet", "MiT": "MiT", "ViT": "ViTEncoder"}
SHORT = ("pspnet", "segformer", "bit")  # tracing them all takes ten seconds


def test_every_network_is_listed():
    assert list(ROWS) == [NOISE2MAP, *RIVALS]


@pytest.mark.parametrize("name", RIVALS)
def test_tasks_and_encoders_are_those_of_the_code(name):
    _, task, _, usual, others, _, _ = ROWS[name]
    choice = RIVALS[name]
    assert task == choice.tasks[0]
    if choice.encoder:
        assert usual == f"`{choice.encoder}`"
        found = {KINDS[kind.strip()] for kind in others.split(",")}
        assert found == {kind.__name__ for kind in choice.kinds}
    else:
        assert others == ""


def test_every_encoder_is_named():
    text = PAGE[PAGE.index("Encoders: ") :].split("\n\n")[0]
    for name in ENCODERS:
        between = name.startswith("mit_b") and "`mit_b0` to `mit_b5`" in text
        assert between or f"`{name}`" in text


@pytest.mark.parametrize(
    "name", [n if n in SHORT else pytest.param(n, marks=pytest.mark.long) for n in ROWS]
)
def test_strides_and_parameters_are_those_of_the_code(name):
    config = default.get_config()
    config.model.name = name
    if ROWS[name][1] == "cd":
        config.task, config.data.classes = "cd", ("no_change", "change")
    model = create_model(config)
    params = abstract_params(model, {config.task: 256})
    count = count_params({k: v for k, v in params.items() if k != STATISTICS})
    assert ROWS[name][-2:] == [str(model.stride), f"{count:,}"]
