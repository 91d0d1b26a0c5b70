import json

import pytest
import thin_config

from noise2map_jax.errors import UserError
from noise2map_jax.experiment import FORMAT, save_config
from noise2map_jax.run import ADDED_FIELDS, differences, load_config


def rewrite(folder, change):
    path = folder / "config.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_config_is_read_as_it_was(tmp_path):
    config = thin_config.get_config()
    save_config(config, tmp_path)
    assert differences(load_config(tmp_path), config) == []


@pytest.mark.parametrize("version", [2, 3])
def test_a_run_of_before_a_field_came_did_what_its_default_does(version, tmp_path):
    config = thin_config.get_config()
    config.train.write_report = True
    save_config(config, tmp_path)

    def older(content):
        content["format"] = version
        del content["train"]["remat"]
        if version == 2:
            del content["mesh"]
            for name in ("max_skipped_updates", "skip_above_gradient_norm", "write_report"):
                del content["train"][name]

    rewrite(tmp_path, older)
    found = load_config(tmp_path)
    assert differences(found, config) == []
    for section, fields in ADDED_FIELDS.items():
        assert {name: found[section][name] for name in fields} == fields


@pytest.mark.parametrize("value", [3, None, []])
def test_a_section_that_is_none_is_named(value, tmp_path):
    save_config(thin_config.get_config(), tmp_path)
    rewrite(tmp_path, lambda content: content.update(train=value))
    with pytest.raises(UserError, match=r"'train' is .*; expected a section of fields"):
        load_config(tmp_path)


@pytest.mark.parametrize("version", [1, FORMAT + 1, "new", None])
def test_other_versions_are_refused(version, tmp_path):
    save_config(thin_config.get_config(), tmp_path)
    rewrite(tmp_path, lambda content: content.update(format=version))
    with pytest.raises(UserError, match=rf"has format {version}, expected {FORMAT}: another"):
        load_config(tmp_path)
