"""The networks that `python -m benchmarks network` measures."""

import json

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import network_jax
from benchmarks.cases import NETWORKS, Case
from noise2map_jax.experiment.components import abstract_params, count_params
from noise2map_jax.network.statistics import STATISTICS
from noise2map_jax.networks.rivals import RIVALS


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_a_case(name):
    case = Case(name, 2, 64, "float32", 1)
    problem, _ = case.problem()
    assert problem.task.name == case.task
    params = abstract_params(problem.model, {case.task: 64})
    assert count_params({k: v for k, v in params.items() if k != STATISTICS}) > (
        1_000 if name == "tiny" else 100_000
    )


def test_every_rival_is_measured():
    assert set(RIVALS) < set(NETWORKS)


def test_a_measurement_tells_what_a_network_costs(monkeypatch, tmp_path):
    output = tmp_path / "network.json"
    command = ["benchmarks", "network", "--networks", "fc_ef_original", "--kinds", "forward"]
    options = ["--tile_size=32", "--batch_sizes", "2", "--repeats=2", "--torch_modes"]
    monkeypatch.setattr("sys.argv", [*command, *options, f"--output={output}"])
    benchmarks.main()
    (row,) = json.loads(output.read_text())["rows"]
    assert (row["network"], row["kind"], row["batch_size"]) == ("fc_ef_original", "forward", 2)
    measured = row["jax"]
    assert measured["parameters"] == 1_350_578
    assert measured["images_per_second"] == 2 / measured["seconds"]["median"]
    assert measured["needed_memory_gib"] * 2**30 > 4 * measured["parameters"]
    assert measured["flop"] > 2 * 32**2 * 9 * 16 * (6 + 16)  # the first two layers, one image


def test_what_was_measured_is_kept_when_a_later_network_ends_the_process(monkeypatch, tmp_path):
    output = tmp_path / "network.json"

    def measure(case, kind):
        if kind == "train":
            raise SystemExit("killed")
        return {"seconds": {"median": 0.5, "least": 0.4, "most": 0.6, "repeats": 2}, "flop": 1e9}

    monkeypatch.setattr(network_jax, "measure", measure)
    monkeypatch.setattr(
        "sys.argv", ["benchmarks", "network", "--torch_modes", f"--output={output}"]
    )
    with pytest.raises(SystemExit, match="killed"):
        benchmarks.main()
    (row,) = json.loads(output.read_text())["rows"]
    assert (row["kind"], row["jax"]["images_per_second"]) == ("forward", 16)
