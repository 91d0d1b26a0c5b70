import copy
import json

import multitask_config
import pytest
import thin_config
from hypothesis import given
from hypothesis import strategies as st

from noise2map_jax import strict_json
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
    assert fields(config_of(content_of(config))) == fields(config)
    assert missing_fields(config) == []


# Fields that came later get their values where they are not there.
LATER = {
    f"{section}.{field}"
    for added in (ADDED_FIELDS, ADDED_TASK_FIELDS)
    for section, names in added.items()
    for field in names
}


def without_task(name):
    return ".".join(name.split(".")[2:]) if name.startswith("tasks.") else name


FIRST = {
    kind: sorted(
        name
        for name in fields(config)
        if without_task(name) in fields(default_config()) and without_task(name) not in LATER
    )
    for kind, config in CONFIGS.items()
}


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
    assert missing_fields(config_of(content)) == [without_task(lost)]
