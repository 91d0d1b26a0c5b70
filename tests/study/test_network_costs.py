"""What networks of a study cost: measured once for each network, in turns, and kept."""

import dataclasses
import json
from typing import ClassVar

import jax
import pytest
from ml_collections import ConfigDict
from small_rival import Small, small_problem
from study_config import get_config

from noise2map_jax.errors import UserError
from noise2map_jax.experiment.experiment import Objective
from noise2map_jax.method.noise import clean_noise_process
from noise2map_jax.network.interface import init_params
from noise2map_jax.page.network_costs import NetworkCost, Rate
from noise2map_jax.study import measured_network, network_costs
from noise2map_jax.study.measured_network import forward_flops
from noise2map_jax.study.study import create_study

PSPNET = 'model.name=pspnet model.options={"encoder":{"widths":[4,4,4],"blocks":[1,1]}}'


class FakeNetwork:
    """Stands in for compiled steps: each turn is noted, and rates are made up."""

    turns: ClassVar[list[str]] = []

    def __init__(self, member):
        self.name = member.variant.name

    def take_turn(self):
        self.turns.append(self.name)

    def cost(self):
        rate = Rate(float(len(self.turns)), 1.0, 2.5)
        return NetworkCost(self.name, 5, 1e9, 32, rate, 8, 32, rate, 8, 1, 100)


@pytest.fixture
def turns(monkeypatch):
    monkeypatch.setattr(network_costs, "MeasuredNetwork", FakeNetwork)
    monkeypatch.setattr(FakeNetwork, "turns", [])
    return FakeNetwork


@pytest.fixture
def study(thin_data, tmp_path):
    """Return the study with these variants, and fields of the section `study`."""

    def create(*variants, **fields):
        config = get_config()
        config.data.data_dir = str(thin_data)
        config.study.variants = ("paper", *variants)
        config.study.cost_repeats = 2
        config.study.update(fields)
        return create_study(config, tmp_path)

    return create


def test_networks_take_turns_and_variants_of_one_share_its_costs(study, turns):
    own = study("clean", f"pspnet: {PSPNET}", "fast: train.learning_rate=0.1")
    network_costs.measure_costs(own)
    assert turns.turns == ["paper", "pspnet"] * 3  # once to warm up, then two repeats
    costs = network_costs.read_costs(own)
    assert [row.variant for row in costs.rows] == ["paper", "clean", "pspnet", "fast"]
    first, *others = (dataclasses.replace(row, variant="") for row in costs.rows)
    assert others == [first] * 3
    assert costs.repeats == 2


def test_what_is_known_is_not_measured_again(study, turns):
    own = study(f"pspnet: {PSPNET}")
    network_costs.measure_costs(own)
    before = (own.workdir / "costs.json").read_text()
    turns.turns.clear()
    network_costs.measure_costs(study(f"pspnet: {PSPNET}", seeds=(5,)))
    assert turns.turns == []
    assert (own.workdir / "costs.json").read_text() == before

    network_costs.measure_costs(study(f"pspnet: {PSPNET}", cost_repeats=1))
    assert turns.turns == ["paper", "pspnet"] * 2
    turns.turns.clear()
    more = study(f"pspnet: {PSPNET}", f"noised: model.noised_input=True {PSPNET}", cost_repeats=1)
    network_costs.measure_costs(more)
    assert len(turns.turns) == 6  # all again, so that all are of one run


def test_another_machine_measures_again(study, turns, monkeypatch):
    own = study(f"pspnet: {PSPNET}")
    network_costs.measure_costs(own)
    turns.turns.clear()
    of_another = network_costs.machine.circumstances() | {"processor": "another"}
    monkeypatch.setattr(network_costs.machine, "circumstances", lambda: of_another)
    network_costs.measure_costs(own)
    assert turns.turns


@pytest.mark.parametrize(
    ("variants", "fields"),
    [
        (("clean", "fast: train.learning_rate=0.1"), {}),  # one network
        ((f"pspnet: {PSPNET}",), {"cost_repeats": 0}),
    ],
)
def test_nothing_is_measured_where_nothing_differs_or_nobody_asks(study, turns, variants, fields):
    own = study(*variants, **fields)
    network_costs.measure_costs(own)
    assert turns.turns == []
    assert network_costs.read_costs(own) is None


def test_a_study_begun_earlier_has_no_such_field(study, turns):
    own = study(f"pspnet: {PSPNET}")
    del own.config.study["cost_repeats"]
    network_costs.measure_costs(own)
    assert turns.turns == []


@pytest.mark.parametrize("content", ["{", '{"costs": []}', '{"costs": [{"variant": "paper"}]}'])
def test_a_damaged_file_is_named(study, content):
    own = study()
    (own.workdir / "costs.json").write_text(content)
    with pytest.raises(UserError, match=r"costs.json is damaged .* delete it"):
        network_costs.read_costs(own)


def test_costs_of_variants_that_are_not_in_the_study_are_left_out(study, turns):
    network_costs.measure_costs(study(f"pspnet: {PSPNET}"))
    assert [row.variant for row in network_costs.read_costs(study()).rows] == ["paper"]


def test_the_file_says_where_it_comes_from(study, turns):
    own = study(f"pspnet: {PSPNET}")
    network_costs.measure_costs(own)
    content = json.loads((own.workdir / "costs.json").read_text())
    assert content["circumstances"]["jax"] == jax.__version__
    assert jax.__version__ in content["machine"]
    assert content["command"]


def test_the_arithmetic_of_a_pass_is_that_of_its_convolutions():
    problem = small_problem()
    model = problem.model
    assert isinstance(model.network, Small)
    params = jax.eval_shape(lambda key: init_params(model, key, 16), jax.random.key(0))
    process = clean_noise_process(10, use_timestep=False, inference_timesteps=(9,))
    objective = Objective(ConfigDict(), None, problem, process)
    bands = model.heads[0].num_inputs
    for size in (16, 32):
        inside = (size * 3 - 2) ** 2 / size**2  # taps of a 3 x 3 kernel that are not of the padding
        convolutions = 2 * size**2 * (4 * bands * inside + 4 * 2)
        found = forward_flops(objective, params, size)
        assert convolutions <= found < 1.2 * convolutions + 10 * size**2 * 4


@pytest.mark.parametrize(
    ("seconds", "num_calls", "rates"),
    [
        # A call of 0.1 s is repeated five times in a measurement, and each turn has one before it.
        ((0.1, 1.0, 0.5), 2 + 6 + 6, [40.0, 80.0]),
        # A long one needs neither.
        ((0.6, 1.0, 0.5), 2 + 1 + 1, [8.0, 16.0]),
    ],
)
def test_a_network_is_measured_in_all_turns_but_the_first(seconds, num_calls, rates, monkeypatch):
    network = object.__new__(measured_network.MeasuredNetwork)
    network._calls, network._rates = {}, {"training": []}
    clock = iter([moment for spent in seconds for moment in (0.0, spent)])
    monkeypatch.setattr(measured_network.time, "perf_counter", lambda: next(clock))
    calls = []
    for _ in seconds:
        network._time("training", 8, lambda: calls.append(1))
    assert len(calls) == num_calls
    assert network._rates["training"] == rates
