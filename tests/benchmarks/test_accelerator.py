"""`python -m benchmarks accelerator`: the whole, and how it spends its time and keeps results."""

import argparse
import json
import math
import os
import time
import types

import jax
import measured_calls
import numpy as np
import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.accelerator import (
    command,
    parity,
    processes,
    record,
    reference,
    short_training,
    throughput,
    torch_throughput,
)
from benchmarks.accelerator.job import Job, NotPossible, OutOfTime
from benchmarks.accelerator.parts import PARTS
from benchmarks.accelerator.processes import FAILED, MEASURED, NO_TIME, NOT_POSSIBLE, Ending
from benchmarks.accelerator.sizes import SIZES
from benchmarks.cases import Case

TINY = SIZES["tiny"]


def call(monkeypatch, *options):
    monkeypatch.setattr("sys.argv", ["benchmarks", "accelerator", *options])
    return benchmarks.main()


def test_the_whole(monkeypatch, tmp_path, capsys):
    """On a CPU in small: every part has numbers that agree, and is measured once."""
    output = tmp_path / "found.json"
    options = ("--size=tiny", "--minutes=10", f"--output={output}")
    assert call(monkeypatch, *options) == 0
    text = output.read_text()
    parts = json.loads(text)["parts"]
    assert list(parts) == list(PARTS)
    for name, entry in parts.items():
        # PyTorch may be missing; everything else is there.
        states = (MEASURED, NOT_POSSIBLE) if name == "torch" else (MEASURED,)
        assert entry["state"] in states, (name, entry)
        assert entry["found"] if entry["state"] == MEASURED else entry["reason"], name
    found = {name: entry["found"] for name, entry in parts.items()}

    peak = next(r for r in found["peaks"]["products"] if r["dtype"] == "float32")["tflop_per_s"]
    gigaflop = {name: found[name]["flop_per_image"] / 1e9 for name in ("training", "forward")}
    assert 2 < gigaflop["training"] / gigaflop["forward"] < 4
    for name in gigaflop:
        assert [row["batch_size"] for row in found[name]["rows"]] == [1]
        assert found[name]["ends"] == {"float32": "1 images are the most that are tried here"}
    rows = [(r, gigaflop[n]) for n in gigaflop for r in found[n]["rows"]]
    torch_rows = [r for r in found["torch"].get("rows", ()) if "seconds" in r]
    rows += [(r, gigaflop[torch_throughput.PARTS[r["kind"]]]) for r in torch_rows]
    for row, gflop in rows:
        rate = row["images_per_second"]
        np.testing.assert_allclose(rate * row["seconds"]["median"], row["batch_size"])
        np.testing.assert_allclose(rate * gflop / 1e3, row["tflop_per_s"])
        np.testing.assert_allclose(row["share_of_matmul_peak"] * peak, row["tflop_per_s"])
    passes = found["passes"]
    assert passes["ddim_tflop"] == 50 * passes["one_pass_tflop"]
    np.testing.assert_allclose(passes["one_pass_tflop"], gigaflop["forward"] / 1e3)
    assert found["parity"]["rows"][0]["typical_error_of_typical"] < 0.05  # bfloat16
    assert found["short_training"]["steps"] == len(found["short_training"]["curve"]["loss"])

    page = output.with_suffix(".html").read_text()
    assert all(f"<h2>{part.title}</h2>" in page for part in PARTS.values())
    assert page.count("<table") >= len(PARTS) - (parts["torch"]["state"] != MEASURED)

    capsys.readouterr()
    assert call(monkeypatch, *options) == 0
    assert "all parts are measured" in capsys.readouterr().out
    assert output.read_text() == text


class Machine:
    """In place of the processes: parts that end as they are told to, after some seconds."""

    def __init__(self, monkeypatch, tmp_path):
        self.now, self.jax, self.endings, self.jobs = 0.0, "1.0", {}, {}
        self.path = tmp_path / "found.json"
        monkeypatch.setattr(processes, "call", self._call)
        monkeypatch.setattr(command.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(command, "write", lambda content, path: path.write_text("page"))

    def _call(self, function, argument, deadline, receive):
        if function is command.describe:
            about = {"device": "1 x quick", "versions": {}}
            of = {"jax": self.jax}
            told = {"platform": "gpu", "kind": "Quick 1", "machine": about, "circumstances": of}
            receive(told)
            return Ending(MEASURED)
        name, job = argument
        self.jobs[name] = (job, deadline)
        ending, seconds = self.endings.get(name, (Ending(MEASURED), 1.0))
        receive({"number": job.found.get("number", 0) + 1})
        if self.now + seconds > deadline:
            ending, seconds = Ending(NO_TIME, "stopped"), deadline - self.now
        self.now += seconds
        return ending

    def run(self, minutes=8.0, **options):
        self.jobs.clear()
        given = {"output": str(self.path), "size": "", "data_dir": "", "dataset": ""}
        status = command.run(argparse.Namespace(minutes=minutes, **(given | options)))
        return status, json.loads(self.path.read_text())


@pytest.fixture
def quick(monkeypatch, tmp_path):
    return Machine(monkeypatch, tmp_path)


def states(content):
    return {name: entry["state"] for name, entry in content["parts"].items()}


def test_a_part_that_fails_is_told_and_the_others_go_on(quick, capsys):
    quick.endings["parity"] = Ending(FAILED, "ValueError: no"), 1.0
    status, content = quick.run()
    assert status == 1
    assert states(content) == {n: FAILED if n == "parity" else MEASURED for n in PARTS}
    assert "Parity           failed: ValueError: no" in capsys.readouterr().out
    quick.endings.clear()  # as if it were mended: it alone is measured again
    status, content = quick.run()
    assert (status, list(quick.jobs)) == (0, ["parity"])
    assert set(states(content).values()) == {MEASURED}


def test_time_is_shared_by_weight_and_what_has_none_is_told(quick):
    quick.endings = {name: (Ending(MEASURED), 1000.0) for name in PARTS}
    _, content = quick.run(minutes=1)
    weights = [part.weight for part in PARTS.values()]
    first, stopped = quick.jobs["peaks"]
    assert first.deadline == 60 * weights[0] / sum(weights)
    assert stopped == command.PATIENCE * first.deadline
    assert quick.now <= 60
    assert states(content) == dict.fromkeys(PARTS, NO_TIME)
    assert all(entry["reason"] for entry in content["parts"].values())
    # Time that a part does not need is for the others.
    quick.now, quick.endings = 0.0, {}
    quick.path.unlink()
    quick.run(minutes=1)
    assert quick.jobs["short_training"][0].deadline == 60.0


def test_a_second_call_goes_on_with_what_was_found(quick):
    quick.endings["training"] = Ending(NO_TIME, "batches of 64 and more"), 1.0
    quick.endings["torch"] = Ending(NOT_POSSIBLE, "PyTorch is not installed"), 1.0
    quick.run()
    quick.endings["training"] = Ending(MEASURED), 1.0
    status, content = quick.run()
    assert (status, list(quick.jobs)) == (0, ["training"])
    job, _ = quick.jobs["training"]
    assert job.found == {"number": 1}
    assert job.results["peaks"] == {"number": 1}
    assert content["parts"]["training"]["found"] == {"number": 2}


def test_results_of_other_versions_are_begun_anew_and_it_is_told(quick, capsys):
    quick.run()
    quick.jax = "2.0"
    quick.run()
    assert list(quick.jobs) == list(PARTS)
    assert "is begun anew: jax was 1.0, is 2.0" in capsys.readouterr().out


def test_other_data_concern_the_parts_that_read_them(quick, monkeypatch, capsys, thin_data):
    quick.run()
    quick.run(data_dir=str(thin_data), dataset="thin_ss")
    assert list(quick.jobs) == [name for name, part in PARTS.items() if part.reads_data]
    assert all(job.found == {} for job, _ in quick.jobs.values())
    assert "its data were drawn scenes, are thin_ss " in capsys.readouterr().out
    assert quick.run(data_dir=str(thin_data), dataset="thin_ss")[0] == 0
    assert quick.jobs == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dataset": "x"}, "--dataset=x lies in no folder; name it with --data_dir"),
        ({"data_dir": "/nowhere"}, "--data_dir=/nowhere holds no dataset of data_prep"),
    ],
)
def test_data_that_are_not_there(quick, options, said, capsys):
    given = {"minutes": 1, "output": "", "size": "", "data_dir": "", "dataset": ""}
    assert command.run(argparse.Namespace(**(given | options))) == 2
    assert said in capsys.readouterr().err


def test_two_datasets_are_to_be_chosen_among(quick, thin_data, capsys):
    given = {"minutes": 1, "output": "", "size": "", "dataset": ""}
    assert command.run(argparse.Namespace(data_dir=str(thin_data), **given)) == 2
    assert "holds thin_cd, thin_ss; choose one with --dataset" in capsys.readouterr().err


def test_a_file_of_something_else_is_not_overwritten(tmp_path):
    path = tmp_path / "found.json"
    path.write_text('{"benchmark": "network"}')
    with pytest.raises(SystemExit, match="holds no results of this benchmark"):
        record.Record(path, {}, [])


def test_results_are_named_after_the_device():
    assert record.file_name("NVIDIA H200") == "accelerator_nvidia_h200.json"
    assert record.file_name("TPU v5 lite") == "accelerator_tpu_v5_lite.json"


def gone(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    ("function", "ending"),
    [
        (measured_calls.finds_two, Ending(MEASURED)),
        (measured_calls.has_no_time, Ending(NO_TIME, "batches of 8 and more")),
        (measured_calls.cannot, Ending(NOT_POSSIBLE, "there is no such device")),
        (measured_calls.fails, Ending(FAILED, "ValueError: the first line")),
        (
            measured_calls.is_killed,
            Ending(FAILED, "its process ended by signal 9; the machine may lack memory"),
        ),
    ],
)
def test_how_a_process_ends(function, ending):
    sent = []
    found = processes.call(function, 7, time.monotonic() + 60, sent.append)
    assert (found.state, found.reason) == (ending.state, ending.reason)
    assert ("Traceback" in found.trace) == (function is measured_calls.fails)
    if function is measured_calls.finds_two:
        assert sent[0] == {"argument": 7}
        assert sent[1]["process"] != os.getpid()
        assert gone(sent[1]["process"])
    if function in (measured_calls.has_no_time, measured_calls.is_killed):
        assert sent == [{"so": "far"}]


def test_a_process_that_does_not_end_is_stopped(monkeypatch):
    monkeypatch.setattr(processes, "SECONDS_TO_END", 0.2)
    sent = []
    clock = types.SimpleNamespace(monotonic=lambda: 100.0 * len(sent))
    monkeypatch.setattr(processes, "time", clock)
    found = processes.call(measured_calls.hangs, None, 60.0, sent.append)
    assert found == Ending(NO_TIME, "stopped in the middle of a measurement")
    assert gone(sent[0]["process"])


def job(tmp_path, size=TINY, platform="cpu", seconds=1e6, results=None, found=None):
    results, found = results or {}, found or {}
    return Job(size, platform, time.monotonic() + seconds, results, found, tmp_path)


class Device:
    """In place of the network: an image takes a second and a GiB; there are 6 GiB."""

    def __init__(self, monkeypatch):
        self.asked = []
        monkeypatch.setattr(throughput.network_jax, "measure", self.measure)
        monkeypatch.setattr(throughput, "flop_per_image", lambda case, kind: 3e12)

    def measure(self, case, kind):
        self.asked.append((case.dtype, case.batch_size))
        if case.batch_size > 6:
            return {"error": "RESOURCE_EXHAUSTED: Out of memory while trying to allocate"}
        seconds = dict.fromkeys(("median", "least", "most"), float(case.batch_size))
        return {"seconds": seconds | {"repeats": 3}, "compile_seconds": 10.0}


def larger(**fields):
    return type(TINY)(**(vars(TINY) | {"most_batch": 4096} | fields))


def test_batches_are_doubled_until_they_do_not_fit(monkeypatch, tmp_path):
    device, sent = Device(monkeypatch), []
    peaks = {"products": [{"dtype": "float32", "precision": "default", "tflop_per_s": 6.0}]}
    size = larger(dtypes=("float32", "bfloat16"))
    own = job(tmp_path, size, results={"peaks": peaks})
    own.send = lambda found: sent.append(json.loads(json.dumps(found)))
    throughput.measuring("train")(own)
    assert device.asked == [(d, b) for d in size.dtypes for b in (1, 2, 4, 8)]
    assert own.found["ends"] == dict.fromkeys(size.dtypes, "8 images do not fit")
    assert sent[0] == {"flop_per_image": 3e12}
    assert [len(found["rows"]) for found in sent[1:]] == [1, 2, 3, 3, 4, 5, 6, 6]
    row = own.found["rows"][2]
    assert (row["batch_size"], row["images_per_second"], row["tflop_per_s"]) == (4, 1.0, 3.0)
    assert row["share_of_matmul_peak"] == 0.5
    assert "share_of_matmul_peak" not in own.found["rows"][3]  # bfloat16 has no peak
    throughput.measuring("train")(own)
    assert len(device.asked) == 8


def test_a_batch_that_would_take_too_long_is_left_to_the_next_call(monkeypatch, tmp_path):
    device = Device(monkeypatch)
    own = job(tmp_path, larger(), seconds=20)  # 2 images take 10 s and 4 calls of 2
    with pytest.raises(OutOfTime, match="float32 from 4 images on"):
        throughput.measuring("forward")(own)
    assert device.asked == [("float32", 1), ("float32", 2)]
    throughput.measuring("forward")(job(tmp_path, larger(), found=own.found))
    assert device.asked[2:] == [("float32", 4), ("float32", 8)]


def test_another_error_than_that_of_memory_is_no_end(monkeypatch, tmp_path):
    Device(monkeypatch)
    wrong = {"error": "INTERNAL: cuDNN does not work"}
    monkeypatch.setattr(throughput.network_jax, "measure", lambda case, kind: wrong)
    with pytest.raises(RuntimeError, match="1 images in float32: INTERNAL: cuDNN does not work"):
        throughput.measuring("train")(job(tmp_path, larger()))


def test_pytorch_is_asked_first_at_the_batch_that_suits_jax_best(tmp_path):
    rows = [
        {"dtype": "float32", "batch_size": b, "images_per_second": rate}
        for b, rate in ((1, 5.0), (2, 9.0), (4, 8.0))
    ]
    own = job(tmp_path, results={"training": {"rows": rows}})
    wanted = list(torch_throughput._wanted(own))
    assert [(kind, b) for kind, _, b, _ in wanted] == [
        *(("train", 2), ("forward", 1)),
        *(("train", 4), ("train", 1)),
    ]
    row = {"dtype": "float32", "batch_size": 2, "images_per_second": 3.0}
    assert torch_throughput._against(row, {"rows": rows}) == {"torch_time_over_jax_time": 3.0}
    with pytest.raises(NotPossible, match="no device of the platform tpu"):
        torch_throughput.measure(job(tmp_path, platform="tpu"))


def test_arithmetic_is_that_of_the_network():
    """By hand: its convolutions of 3 x 3 on 16 x 16 pixels, to which a third is added at most."""
    case = Case("tiny", 1, 16, "float32", 1)
    # The head's two, the backbone's first and last, and two in each of five residual blocks: one on
    # the way down, two in the middle, and two on the way up that see 16 channels.
    pairs = [(3, 3), (3, 8), (8, 3), (3, 2), *[(8, 8)] * 6, *[(16, 8), (8, 8)] * 2]
    by_hand = 2 * 9 * 16**2 * sum(a * b for a, b in pairs)
    assert by_hand < reference.flop_per_image(case, "forward") < 1.35 * by_hand


def test_parameters_are_the_same_in_every_call_and_none_is_zero():
    problem, _ = Case("tiny", 1, 16, "float32", 1).problem()
    first, second = (reference.random_params(problem.model, 16) for _ in range(2))
    for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(one, other)
        assert np.all(one)


def test_errors_are_told_in_their_unit_and_as_shares():
    found = parity.errors(np.array([1.0, 2.5, -4.0]), np.array([1.0, 2.0, -4.0]))
    assert found["largest_error"] == 0.5
    assert found["largest_error_of_largest"] == 0.125
    np.testing.assert_allclose(found["typical_error_of_typical"], math.sqrt(0.25 / 21))


@pytest.mark.long
@pytest.mark.parametrize("name", SIZES["full"].golden)
def test_golden_values_are_met(name):
    output, expected = parity._golden(name, "float32", "highest")
    assert parity.errors(output, expected)["largest_error"] < 2e-5


def test_the_short_training_is_as_long_as_there_is_time_for(tmp_path):
    size = larger(train_batch=8, least_steps=20, most_steps=300)
    rows = [{"dtype": "float32", "images_per_second": rate} for rate in (4.0, 16.0)]
    results = {"training": {"rows": rows}}  # half a second a step

    def steps(seconds):
        return short_training._num_steps(job(tmp_path, size, "cpu", seconds, results))

    assert steps(100.5) == 100  # half of the time
    assert steps(1e4) == 300
    with pytest.raises(OutOfTime, match="20 steps"):
        steps(10)
