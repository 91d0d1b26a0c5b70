"""A platform that JAX cannot serve is one line, whatever JAX itself does about it."""

import os
import subprocess
import sys

import jax
import programs
import pytest

from noise2map_jax.devices.presence import require_devices
from noise2map_jax.errors import UserError


def test_devices_are_returned():
    assert require_devices() == jax.devices()


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (AssertionError(), r": nothing installed serves that platform\. It needs"),
        (
            RuntimeError("Unable to initialize backend 'tpu':\n  no libtpu"),
            r"'tpu': no libtpu\. It",
        ),
    ],
)
def test_no_devices_are_one_line(monkeypatch, raised, told):
    def devices():
        raise raised

    monkeypatch.setattr(jax, "devices", devices)
    with pytest.raises(UserError, match=told) as error:
        require_devices()
    assert "\n" not in str(error.value)
    assert f"JAX_PLATFORMS={jax.config.jax_platforms}" in str(error.value)


def test_other_failures_keep_their_stack(monkeypatch):
    def devices():
        raise RuntimeError("DEADLINE_EXCEEDED: GetKeyValue() timed out")

    monkeypatch.setattr(jax, "devices", devices)
    with pytest.raises(RuntimeError, match="DEADLINE_EXCEEDED"):
        require_devices()


@pytest.mark.parametrize(
    "command",
    [
        ["noise2map_jax.main", "--config=demo_ss"],
        ["benchmarks", "accelerator", "--output=RESULTS"],
    ],
    ids=["main", "benchmarks"],
)
def test_programs_say_which_platform_is_not_there(command, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", *(c.replace("RESULTS", f"{tmp_path}/r.json") for c in command)],
        cwd=programs.ROOT,
        env=os.environ | {"JAX_PLATFORMS": "rocm"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "error: JAX finds no device for JAX_PLATFORMS=rocm: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" not in done.stdout
