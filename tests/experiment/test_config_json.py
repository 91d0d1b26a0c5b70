import copy
import json

import multitask_config
import pytest
import thin_config
from hypothesis import given
from hypothesis import strategies as st

from noise2map_jax import strict_json
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.config_fields import fields
from noise2map_jax.experiment.config_json import (
    ADDED_FIELDS,
    ADDED_TASK_FIELDS,
    config_of,
    missing_fields,
)
from noise2map_jax.experiment.shipped_configs import default_config

CONFIGS = {
    "one task": thin_config.get_config(),
    "several tasks": multitask_config.get_config(),
}


def content_of(config):
    return json.loads(strict_json.dumps(config.to_dict()))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_what_is_written_is_read(config):
    assert fields(config_of(content_of(config), "c.json")) == fields(config)
    assert missing_fields(config) == []


# Fields that came later get their values where they are not there.
LATER = {
    f"{section}.{field}"
    for added in (ADDED_FIELDS, ADDED_TASK_FIELDS)
    for section, names in added.items()
    for field in names
}


def without_task(name):
    if name.startswith("tasks.") and not name.endswith(".weight"):
        return ".".join(name.split(".")[2:])
    return name


FIRST = {
    kind: sorted(
        name
        for name in fields(config)
        if without_task(name) in fields(default_config()) and without_task(name) not in LATER
    )
    for kind, config in CONFIGS.items()
}
FIRST["one task"].append("tasks")
FIRST["several tasks"] += ["tasks.ss.weight", "tasks.cd.weight"]


@given(st.data())
@pytest.mark.parametrize("kind", CONFIGS.keys())
def test_a_field_that_is_lost_is_missed(kind, data):
    lost = data.draw(st.sampled_from(FIRST[kind]))
    content = copy.deepcopy(content_of(CONFIGS[kind]))
    *sections, field = lost.split(".")
    place = content
    for section in sections:
        place = place[section]
    del place[field]
    with pytest.raises(UserError, match=rf"^c.json is damaged: it lacks {without_task(lost)};"):
        config_of(content, "c.json")


def test_many_lost_fields_are_counted():
    content = content_of(CONFIGS["one task"])
    del content["noise"]
    with pytest.raises(UserError, match=r"lacks noise\.\w+, noise\.\w+, noise\.\w+ and \d+ more f"):
        config_of(content, "c.json")


@pytest.mark.parametrize(
    "change",
    [{"tasks": 3}, {"tasks": "x"}, {"tasks": {"ss": 3}}, {"model": 3}, {"a.b": 3}, {"data": 3}],
)
def test_what_is_no_config_is_named(change):
    with pytest.raises(UserError, match=r"^c.json (is not the config of a run|is damaged: it lac)"):
        config_of(content_of(CONFIGS["one task"]) | change, "c.json")


@pytest.mark.parametrize("content", [None, 3, [], "x", {}])
def test_what_is_no_object_is_named(content):
    with pytest.raises(UserError, match=r"^c.json is"):
        config_of(content, "c.json")
