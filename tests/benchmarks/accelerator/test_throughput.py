"""How batch sizes are gone through, by JAX and by PyTorch."""

import json

import pytest
from accelerator_jobs import larger, make_job

from benchmarks.accelerator import throughput, torch_throughput
from benchmarks.accelerator.job import NotPossible, OutOfTime


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


def test_batches_are_doubled_until_they_do_not_fit(monkeypatch, tmp_path):
    device, sent = Device(monkeypatch), []
    peaks = {"products": [{"dtype": "float32", "precision": "default", "tflop_per_s": 6.0}]}
    size = larger(dtypes=("float32", "bfloat16"))
    own = make_job(tmp_path, size, results={"peaks": peaks})
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
    own = make_job(tmp_path, larger(), seconds=20)  # 2 images take 10 s and 4 calls of 2
    with pytest.raises(OutOfTime, match="float32 from 4 images on"):
        throughput.measuring("forward")(own)
    assert device.asked == [("float32", 1), ("float32", 2)]
    throughput.measuring("forward")(make_job(tmp_path, larger(), found=own.found))
    assert device.asked[2:] == [("float32", 4), ("float32", 8)]


def test_another_error_than_that_of_memory_is_no_end(monkeypatch, tmp_path):
    Device(monkeypatch)
    wrong = {"error": "INTERNAL: cuDNN does not work"}
    monkeypatch.setattr(throughput.network_jax, "measure", lambda case, kind: wrong)
    with pytest.raises(RuntimeError, match="1 images in float32: INTERNAL: cuDNN does not work"):
        throughput.measuring("train")(make_job(tmp_path, larger()))


def test_pytorch_is_asked_first_at_the_batch_that_suits_jax_best(tmp_path):
    rows = [
        {"dtype": "float32", "batch_size": b, "images_per_second": rate}
        for b, rate in ((1, 5.0), (2, 9.0), (4, 8.0))
    ]
    own = make_job(tmp_path, results={"training": {"rows": rows}})
    wanted = list(torch_throughput._wanted(own))
    assert [(kind, b) for kind, _, b, _ in wanted] == [
        *(("train", 2), ("forward", 1)),
        *(("train", 4), ("train", 1)),
    ]
    row = {"dtype": "float32", "batch_size": 2, "images_per_second": 3.0}
    assert torch_throughput._against(row, {"rows": rows}) == {"torch_time_over_jax_time": 3.0}
    with pytest.raises(NotPossible, match="no device of the platform tpu"):
        torch_throughput.measure(make_job(tmp_path, platform="tpu"))
