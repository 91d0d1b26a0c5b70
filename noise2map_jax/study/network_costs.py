"""What the networks of a study cost: parameters, arithmetic, speed, memory.

Measured after training and all in one run: the networks take turns, so that all see the same load
of the machine. Where all variants share one network, nothing is measured.

costs.json      what was found, with the circumstances; it is measured again only if these change
"""

import dataclasses
import json
import math
import os
import pathlib
from typing import Any

from noise2map_jax import strict_json
from noise2map_jax.cost import machine
from noise2map_jax.errors import UserError
from noise2map_jax.page.network_costs import NetworkCost, NetworkCosts, Rate
from noise2map_jax.reports.parts import command_line
from noise2map_jax.study.measured_network import MeasuredNetwork
from noise2map_jax.study.study import Member, Study

FILE = "costs.json"
# Fields of `train` that do not change what a step costs.
_FREE = (
    *("num_steps", "num_epochs", "learning_rate", "warmup_steps", "cosine", "write_report"),
    *("scene_share", "share_by_place", "place_power"),
)


def measure_costs(study: Study) -> None:
    """Measure what the networks of a study cost, unless that is known, and write `costs.json`.

    Nothing is measured if all variants share one network, or if `study.cost_repeats` is 0.
    """
    repeats = study.config.study.get("cost_repeats", 0)
    first = {member.variant.name: member for member in reversed(study.members)}
    members = [first[variant.name] for variant in study.variants]
    if not repeats or len({member.run.experiment.model for member in members}) == 1:
        return
    circumstances = machine.circumstances() | {
        "repeats": repeats,
        "variants": {member.variant.name: _work(member) for member in members},
    }
    path = study.workdir / FILE
    if path.is_file() and _content(path).get("circumstances") == circumstances:
        return
    print("costs       measured: the networks take turns", flush=True)
    networks: dict[str, MeasuredNetwork] = {}
    for member in members:
        key = _executable(member)
        if key not in networks:
            networks[key] = MeasuredNetwork(member)
    for _ in range(repeats + 1):  # the first warms up
        for network in networks.values():
            network.take_turn()
    rows = []
    for member in members:
        cost = networks[_executable(member)].cost()
        rows.append(dataclasses.replace(cost, variant=member.variant.name))
    content = {
        "machine": machine.describe(),
        "command": command_line(),
        "circumstances": circumstances,
        "costs": [dataclasses.asdict(row) for row in rows],
    }
    path.with_suffix(".tmp").write_text(strict_json.dumps(content, indent=2) + "\n")
    os.replace(path.with_suffix(".tmp"), path)


def read_costs(study: Study) -> NetworkCosts | None:
    """Read what was measured of a study's variants; None if nothing was.

    Raises:
        UserError: the file is damaged.
    """
    path = study.workdir / FILE
    if not path.is_file():
        return None
    content, names = _content(path), [variant.name for variant in study.variants]
    try:
        found = {row["variant"]: _cost(row) for row in content["costs"]}
        rows = tuple(found[name] for name in names if name in found)
        repeats = int(content["circumstances"]["repeats"])
        costs = NetworkCosts(rows, repeats, content["machine"], content["command"])
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error!r}); delete it and run the study") from None
    return costs if rows else None


def _content(path: pathlib.Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); delete it and run the study") from None
    return content if isinstance(content, dict) else {}


def _cost(row: dict[str, Any]) -> NetworkCost:
    """Make a row of what JSON keeps of it."""
    flops = math.nan if row["flops"] is None else row["flops"]
    rates = {name: Rate(*row[name]) for name in ("training", "prediction")}
    return NetworkCost(**{**row, **rates, "flops": flops})


def _work(member: Member) -> dict[str, Any]:
    """Return the fields of a config that decide what its steps cost."""
    config = member.run.experiment.config
    train = {
        name: value
        for name, value in config.train.to_dict().items()
        if name not in _FREE and not name.endswith("_every_steps")
    }
    return json.loads(
        strict_json.dumps(
            {
                "model": config.model.to_dict(),
                "train": train,
                "mesh": config.mesh.to_dict(),
                "augment": config.augment.to_dict(),
                "data": [config.data.dataset, config.data.tile_size, config.data.num_bands],
                "eval_batch_size": config.eval.batch_size,
                "timesteps": len(member.objective.process.inference_timesteps),
                "draws": member.objective.num_noise_draws,
            }
        )
    )


def _executable(member: Member) -> str:
    """Return the same for variants that the same compiled steps serve."""
    return strict_json.dumps(_work(member), sort_keys=True)
