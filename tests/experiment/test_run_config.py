import dataclasses
import json
import re

import multitask_config
import pytest
import thin_config
from hypothesis import given, settings
from hypothesis import strategies as st

from configs import default
from noise2map_jax.data.dataset import Dataset
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.config_fields import changes, fields, with_values
from noise2map_jax.experiment.config_json import ADDED_FIELDS, ADDED_TASK_FIELDS, FORMAT
from noise2map_jax.experiment.field_rules import RULES, TIMESTEPS, May, names
from noise2map_jax.experiment.run_config import (
    CONFIG,
    HISTORY,
    check_going_on,
    check_same_numbers,
    evaluated_config,
    load_config,
    record_config,
    save_config,
)

DIGESTS = {"ss": "0a"}


def rewrite(folder, change):
    path = folder / CONFIG
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def other(**values):
    """The thin config with other values, of fields whose dots are written as two underscores."""
    named = {name.replace("__", "."): value for name, value in values.items()}
    return with_values(thin_config.get_config(), named)


@pytest.fixture
def run(tmp_path):
    save_config(thin_config.get_config(), tmp_path, DIGESTS)
    return tmp_path


def test_a_config_is_read_as_it_was(run):
    assert changes(load_config(run), thin_config.get_config()) == {}


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_run_of_before_a_field_came_did_what_its_default_does(version, run):
    config = thin_config.get_config()
    config.train.write_report = True
    save_config(config, run)

    def older(content):
        content["format"] = version
        del content["datasets"]
        for section, added in ADDED_TASK_FIELDS.items():
            for name in added:
                del content[section][name]
        if version < 4:
            del content["train"]["remat"]
        if version == 2:
            del content["mesh"]
            for name in ("max_skipped_updates", "skip_above_gradient_norm", "write_report"):
                del content["train"][name]

    rewrite(run, older)
    found = load_config(run)
    assert changes(found, config) == {}
    for section, added in [*ADDED_FIELDS.items(), *ADDED_TASK_FIELDS.items()]:
        assert {name: found[section][name] for name in added} == added
    assert check_going_on(run, config, {"ss": "of records that it does not know"}) == {}


def test_tasks_of_a_run_of_before_have_the_fields_that_came_later(tmp_path):
    save_config(multitask_config.get_config(), tmp_path)

    def older(content):
        for task in content["tasks"].values():
            for section, added in ADDED_TASK_FIELDS.items():
                for name in added:
                    del task[section][name]

    rewrite(tmp_path, older)
    found = load_config(tmp_path)
    assert changes(found, multitask_config.get_config()) == {}
    assert "data" not in found


@pytest.mark.parametrize("value", [3, None, []])
def test_a_section_that_is_none_is_named(value, run):
    rewrite(run, lambda content: content.update(train=value))
    with pytest.raises(UserError, match=r"'train' is .*; expected a section of fields"):
        load_config(run)


@pytest.mark.parametrize("section", ["model", "train", "noise"])
def test_a_section_that_is_not_there_is_named(section, run):
    rewrite(run, lambda content: content.pop(section))
    with pytest.raises(UserError, match=rf"config.json is damaged: it lacks {section}\."):
        load_config(run)


@pytest.mark.parametrize("version", [1, FORMAT + 1, "new", None])
def test_other_versions_are_refused(version, run):
    rewrite(run, lambda content: content.update(format=version))
    with pytest.raises(UserError, match=rf"has format {version}, expected {FORMAT}: another"):
        load_config(run)


@pytest.mark.parametrize("version", [2, 3, 4])
def test_what_an_earlier_version_began_is_not_trained_on(version, run):
    check_same_numbers(run)
    rewrite(run, lambda content: content.update(format=version))
    load_config(run)  # it can still be used
    with pytest.raises(UserError, match=r"started by an earlier version, .* other random numbers"):
        check_same_numbers(run)


def test_hosts_differ_in_how_they_read_alone():
    assert names(May.BE_OF_HOST) == ("data.data_dir", "data.num_threads", "data.prefetch_size")


def test_what_may_change_is_a_field_or_a_section():
    known = fields(default.get_config()).keys() | {"weight"}  # of a task beside others
    for name in {*RULES, TIMESTEPS}:
        assert name in known or (name.endswith(".") and any(k.startswith(name) for k in known))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("noise__kind", "clean", "noise.kind ('structured', now 'clean')"),
        ("noise__inference_timesteps", [500], "noise.inference_timesteps ([-1], now [500])"),
        ("seed", 7, "seed (0, now 7)"),
        ("init_from", "runs/other", "init_from ('', now 'runs/other')"),
        ("train__class_weights", [1.0, 2.0], "train.class_weights ([1.0, 5.0], now [1.0, 2.0])"),
        ("train__learning_rate", 1e-3, "train.learning_rate (0.003, now 0.001)"),
        ("train__batch_size", 16, "train.batch_size (8, now 16)"),
        ("train__cosine", True, "train.cosine (False, now True)"),
        ("data__dataset", "evaluated", "data.dataset ('thin_ss', now 'evaluated')"),
        ("train__num_steps_more", 1, "train.num_steps_more (None, now 1)"),  # a field of its own
        ("model__dtype", "bfloat16", "model.dtype ('float32', now 'bfloat16')"),
    ],
)
def test_what_is_learned_cannot_change(run, field, value, words):
    with pytest.raises(UserError, match=re.escape(words)) as error:
        check_going_on(run, other(**{field: value, "train__num_steps": 40}), DIGESTS)
    assert "start a new run with another --workdir" in str(error.value)
    assert "num_steps (" not in str(error.value)
    assert "\n" not in str(error.value)


MAY = {
    "train__num_steps": 40,
    "train__eval_every_steps": 5,
    "train__remat": "blocks",
    "eval__group_regex": "(.)",
    "data__data_dir": "/mnt/data",
    "mesh__fsdp": 8,
}


@pytest.mark.parametrize("field", MAY)
def test_length_evaluation_data_folder_and_devices_can(run, field):
    before = fields(thin_config.get_config())[field.replace("__", ".")]
    expected = {field.replace("__", "."): (before, MAY[field])}
    assert check_going_on(run, other(**{field: MAY[field]}), DIGESTS) == expected


def test_members_of_a_study_are_of_one_length(run):
    config = other(**{name: MAY[name] for name in MAY if not name.startswith("train__")})
    check_going_on(run, config, DIGESTS, may=May.GO_ON_IN_STUDY)
    for name in ("train__num_steps", "train__eval_every_steps"):
        with pytest.raises(
            UserError, match=r"train\.\w+ \(\d+, now \d+\); use its values, or rename"
        ):
            check_going_on(
                run,
                other(**{name: MAY[name]}),
                DIGESTS,
                may=May.GO_ON_IN_STUDY,
                remedy="rename it",
            )


def test_fields_of_a_task_are_as_those_of_the_whole(tmp_path):
    config = multitask_config.get_config()
    save_config(config, tmp_path, DIGESTS)
    moved = with_values(config, {"tasks.ss.data.data_dir": "/mnt/data"})
    assert list(check_going_on(tmp_path, moved, DIGESTS)) == ["tasks.ss.data.data_dir"]
    for name, value in (("noise.kind", "clean"), ("weight", 0.5), ("data.dataset", "x")):
        with pytest.raises(UserError, match=rf"tasks\.ss\.{name} \("):
            check_going_on(tmp_path, with_values(config, {f"tasks.ss.{name}": value}), DIGESTS)


def test_a_dataset_that_was_built_anew_is_refused(run):
    with pytest.raises(UserError, match=r"dataset of task ss was built anew since .* was started"):
        check_going_on(run, thin_config.get_config(), {"ss": "0b"})


def test_the_digest_of_a_dataset_is_of_its_records(tmp_path):
    manifest = {"name": "x", "shards": {"a": "1", "b": "2"}}
    dataset = Dataset(tmp_path, manifest)
    ordered = {"shards": {"b": "2", "a": "1"}, "name": "x", "split_rule": "said otherwise"}
    assert dataclasses.replace(dataset, manifest=ordered).digest == dataset.digest
    for shards in ({"a": "1", "b": "3"}, {"a": "1"}, {"a": "2", "b": "1"}):
        assert dataclasses.replace(dataset, manifest={"shards": shards}).digest != dataset.digest


def test_a_config_is_written_once_and_changes_are_a_history(tmp_path):
    record_config(thin_config.get_config(), tmp_path, DIGESTS, 0)
    before = (tmp_path / CONFIG).read_bytes()
    record_config(thin_config.get_config(), tmp_path, DIGESTS, 20)
    assert not (tmp_path / HISTORY).exists()
    longer = {"train__num_steps": 40, "data__data_dir": "/mnt/data"}
    for step, config in (
        (20, other(**longer)),
        (30, other(**longer)),
        (40, other(eval__split="val")),
    ):
        record_config(config, tmp_path, {"ss": "not looked at"}, step)
        assert changes(load_config(tmp_path), config) == {}
    assert (tmp_path / CONFIG).read_bytes() == before
    assert json.loads(before)["datasets"] == DIGESTS
    assert [json.loads(line) for line in (tmp_path / HISTORY).read_text().splitlines()] == [
        {
            "step": 20,
            "changes": {"data.data_dir": ["data", "/mnt/data"], "train.num_steps": [20, 40]},
        },
        {
            "step": 40,
            "changes": {
                "data.data_dir": ["/mnt/data", "data"],
                "eval.split": ["test", "val"],
                "train.num_steps": [40, 20],
            },
        },
    ]


def test_before_anything_is_learned_a_config_is_that_of_now(tmp_path):
    save_config(thin_config.get_config(), tmp_path, DIGESTS)
    rewrite(
        tmp_path, lambda content: content.update(format=4)
    )  # an earlier version, killed at once
    record_config(other(eval__split="val"), tmp_path, DIGESTS, 0)
    check_same_numbers(tmp_path)
    assert load_config(tmp_path).eval.split == "val"
    assert not (tmp_path / HISTORY).exists()


@pytest.mark.parametrize("field", ["eval.num_noise_draws", "eval.num_timestep_bands"])
def test_what_the_best_is_chosen_by_cannot_change(run, field):
    values = {field: fields(thin_config.get_config())[field] + 1}
    config = with_values(thin_config.get_config(), values)
    for may in (May.GO_ON, May.GO_ON_IN_STUDY):
        with pytest.raises(UserError, match=f"with other values of {field}"):
            check_going_on(run, config, DIGESTS, may=may)
    evaluated, _ = evaluated_config(run, config)  # but it can be asked otherwise
    assert fields(evaluated)[field] == values[field]


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(sorted(fields(thin_config.get_config()))),
        st.integers() | st.text() | st.lists(st.integers()),
    )
)
def test_values_that_are_set_are_the_changes(values):
    config = thin_config.get_config()
    before = fields(config)
    expected = {k: (before[k], v) for k, v in sorted(values.items()) if before[k] != v}
    assert changes(config, with_values(config, values)) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", '{"step": 1}', '{"changes": {"seed": [1]}}', "\xff"),
        '{"step": 1, "changes": {"foo.bar": [1, 2]}}',
    ],
)
def test_a_damaged_history_is_named(run, text):
    (run / HISTORY).write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"config_history.jsonl is damaged"):
        load_config(run)


def test_a_run_is_evaluated_as_it_was_trained(tmp_path):
    save_config(other(noise__kind="clean", train__ema_decay=0.9), tmp_path, DIGESTS)
    with pytest.raises(UserError) as error:
        evaluated_config(tmp_path, thin_config.get_config())
    for words in ("noise.kind ('clean', now 'structured');", "leave out --config"):
        assert words in str(error.value)
    assert "ema_decay" not in str(error.value)
    asked = other(
        noise__kind="clean", seed=1, mesh__fsdp=2, eval__split="val", data__dataset="another"
    )
    config, differing = evaluated_config(tmp_path, asked)
    assert list(changes(config, asked)) == ["seed", "train.ema_decay"]  # of the run
    assert list(changes(config, load_config(tmp_path))) == [
        *("data.dataset", "eval.split", "mesh.fsdp")
    ]
    assert differing == {"data.dataset": ("thin_ss", "another")}
    with pytest.raises(UserError, match=r"values of seed \(0, now 1\);"):
        evaluated_config(tmp_path, asked, ("seed",))


@pytest.mark.parametrize("task", ["", "tasks.ss."])
def test_other_timesteps_of_prediction_are_given_on_purpose(tmp_path, task):
    config = multitask_config.get_config() if task else thin_config.get_config()
    save_config(config, tmp_path, DIGESTS)
    field = f"{task}noise.inference_timesteps"
    asked = with_values(config, {field: [500]})
    for deliberate in ((), (f"{task}noise.kind",)):
        with pytest.raises(UserError, match=r"inference_timesteps \(\[-1\], now \[500\]\)"):
            evaluated_config(tmp_path, asked, deliberate)
    found, differing = evaluated_config(tmp_path, asked, (field, "eval.split"))
    assert changes(found, asked) == {}
    assert differing == {field: ([-1], [500])}


def test_the_scaling_that_was_trained_with_is_kept(tmp_path):
    ranges = ((0.0, 100.0),) * 3
    save_config(other(data__scaling="manifest", data__band_ranges=ranges), tmp_path, DIGESTS)
    asked = other(data__scaling="manifest", data__dataset="another")
    config, _ = evaluated_config(tmp_path, asked)
    assert config.data.band_ranges == ranges
    for wrong in ({}, {"data__scaling": "manifest", "data__band_ranges": [[0.0, 9.0]] * 3}):
        with pytest.raises(UserError, match=r"data\.(scaling|band_ranges) \("):
            evaluated_config(tmp_path, other(**wrong))


def test_what_was_changed_later_is_what_is_evaluated(run):
    record_config(other(data__data_dir="/mnt/data"), run, DIGESTS, 20)
    assert evaluated_config(run, load_config(run))[0].data.data_dir == "/mnt/data"
