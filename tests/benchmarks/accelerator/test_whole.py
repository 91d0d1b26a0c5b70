"""`python -m benchmarks accelerator` from beginning to end, in small."""

import json

import numpy as np

from benchmarks import __main__ as benchmarks
from benchmarks.accelerator import torch_throughput
from benchmarks.accelerator.parts import PARTS
from benchmarks.accelerator.processes import MEASURED, NOT_POSSIBLE


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
