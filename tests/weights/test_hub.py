"""Names on the hub: found in the cache without network, and refused in one line."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import hub_server
import pytest
from programs import ROOT

from noise2map_jax.errors import UserError
from noise2map_jax.weights import hub
from noise2map_jax.weights.hub import HubName, fetch, parse_name

CHURCH = ROOT / "tests" / "golden" / "church_thin"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
# Fetches each name and prints its folder, or the one line that says why not.
SCRIPT = """
import json, sys
from noise2map_jax.errors import UserError
from noise2map_jax.weights import load_diffusers
from noise2map_jax.weights.hub import fetch
for name in sys.argv[1:]:
    try:
        folder = fetch(name)
        load_diffusers(folder)
        print(json.dumps({"folder": str(folder)}))
    except UserError as error:
        print(json.dumps({"error": str(error)}))
"""


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def fetched(cache):
    """Fetch names in a process of its own: the client reads its settings when it is imported."""
    pytest.importorskip("huggingface_hub", reason="needs huggingface_hub (the extra 'hub')")

    def call(*names, **settings):
        env = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        env |= {"HF_HUB_CACHE": str(cache), "HF_HOME": str(cache.parent / "home")}
        env |= {"PYTHONPATH": str(ROOT), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *names],
            cwd=ROOT,
            env=env | {"HF_HUB_DISABLE_TELEMETRY": "1"} | settings,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(answers) == len(names)
        assert not any("\n" in value for answer in answers for value in answer.values())
        return answers

    return call


def cached(cache, subfolder):
    """Lay a folder into a cache as huggingface_hub documents it: refs, blobs, links to them."""
    repo = cache / "models--owner--repo"
    snapshot = repo / "snapshots" / COMMIT / subfolder
    for folder in (repo / "refs", repo / "blobs", snapshot):
        folder.mkdir(parents=True, exist_ok=True)
    (repo / "refs" / "main").write_text(COMMIT)
    for name in ("config.json", "diffusion_pytorch_model.safetensors"):
        blob = repo / "blobs" / f"blob_of_{name}"
        blob.write_bytes((CHURCH / name).read_bytes())
        (snapshot / name).symlink_to(os.path.relpath(blob, snapshot))
    return snapshot


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("hf:ali97/noise2map/aid-10k", ("ali97/noise2map", "aid-10k", "")),
        ("hf:google/ddpm-church-256", ("google/ddpm-church-256", "", "")),
        ("hf:a/b/c/d@v1.0", ("a/b", "c/d", "v1.0")),
        ("hf:a/b@refs/pr/3", ("a/b", "", "refs/pr/3")),
    ],
)
def test_names_are_taken_apart(name, parts):
    assert parse_name(name) == HubName(*parts)


@pytest.mark.parametrize(
    "name",
    [
        *("hf:", "hf:owner", "hf:a/b/", "hf:/a/b", "hf:a/b/../c", "hf:a/..", "hf:a/b@"),
        *("hf:a/b@../x", "hf:a b/c", "hf:a/b\n", "hf://a/b", "a/b", "hf:a/b@x@y", "hf:./b"),
    ],
)
def test_other_names_are_refused(name):
    with pytest.raises(UserError, match=r"is not the name of a folder on the hub; expected hf:"):
        fetch(name)


def test_without_the_client_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"not installed: pip install 'noise2map_jax\[hub\]', or"):
        fetch("hf:owner/repo")


def test_nothing_is_imported_before_it_is_needed():
    code = "import sys, noise2map_jax.weights.hub; print('huggingface_hub' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "False"


def test_a_cached_folder_is_found_offline_and_loads(cache, fetched):
    snapshot = cached(cache, "aid-10k")
    (cache / "models--owner--repo" / "refs" / "v1").write_text(COMMIT)
    names = ("hf:owner/repo/aid-10k", "hf:owner/repo/aid-10k@v1", f"hf:owner/repo/aid-10k@{COMMIT}")
    for settings in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        for answer in fetched(*names, **settings):
            assert answer == {"folder": str(snapshot)}


def test_offline_and_not_in_the_cache_is_one_line(cache, fetched):
    cached(cache, "aid-10k")
    names = ("hf:owner/other", "hf:owner/repo/sat2gen", "hf:owner/repo/aid-10k@v2", "hf:owner/repo")
    for settings in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        for name, answer in zip(names, fetched(*names, **settings), strict=True):
            assert answer["error"].startswith(f"{name} is not in the cache, and the hub cannot")
            assert "give its local path" in answer["error"]


def test_a_hub_that_never_answers_is_given_up_soon(fetched):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        before = time.monotonic()
        (answer,) = fetched("hf:owner/repo", HF_ENDPOINT=address)
        assert "not in the cache, and the hub cannot be reached" in answer["error"]
        assert time.monotonic() - before < 6 * hub.TIMEOUT


def test_a_folder_is_downloaded_once(cache, fetched):
    files = {
        f"aid-10k/{name}": (CHURCH / name).read_bytes()
        for name in ("config.json", "diffusion_pytorch_model.safetensors")
    }
    unwanted = ("README.md", "sat2gen/config.json", "aid-10k/diffusion_pytorch_model.bin")
    files |= {name: b"{}" for name in unwanted}
    names = ("hf:owner/repo/aid-10k", "hf:owner/repo/imagenet", "hf:owner/repo")
    names += ("hf:owner/repo/aid-10k@v9", "hf:owner/nothing")
    with hub_server.serve(files, COMMIT) as (address, asked):
        answers = fetched(*names, HF_ENDPOINT=address)
        folder = pathlib.Path(answers[0]["folder"])
        assert folder == cache / "models--owner--repo" / "snapshots" / COMMIT / "aid-10k"
        assert sorted(path.name for path in folder.iterdir()) == [
            "config.json",
            "diffusion_pytorch_model.safetensors",
        ]
        assert not any(name in path for path in asked for name in unwanted)
        has = "there are such folders at: aid-10k, sat2gen"
        assert answers[1]["error"].endswith(
            f"has no imagenet/config.json or imagenet/model.safetensors; {has}"
        )
        assert answers[2]["error"].endswith(f"has no config.json or model.safetensors; {has}")
        assert "owner/repo on the hub has no revision 'v9'; leave" in answers[3]["error"]
        assert "the hub has no repository owner/nothing that is open to" in answers[4]["error"]
        asked.clear()
        assert fetched(names[0], HF_ENDPOINT=address) == [{"folder": str(folder)}]
        assert not any("resolve" in path for path in asked)
    assert fetched(names[0], HF_ENDPOINT=address) == [{"folder": str(folder)}]
