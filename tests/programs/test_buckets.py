"""Runs whose work folder and data are in a bucket: as on a disk, also when they are killed."""

import contextlib
import json
import re
import shutil
import signal
import time

import jax
import numpy as np
import object_storage
import orbax.checkpoint as ocp
import programs
import pytest
import warm_start
from programs import metrics

from noise2map_jax.buckets.mirror import MARK

NUM_STEPS = 40
# Kernels that are split over the devices of both processes.
SPLIT = ("--config.mesh.fsdp=4", "--config.model.unet.block_out_channels=(48,)")


@pytest.fixture(scope="module")
def s3(thin_data):
    """An emulator of S3 with the thin dataset."""
    storage = object_storage.ObjectStorage("s3")
    storage.upload(thin_data / "thin_ss", "data/thin_ss")
    yield storage
    storage.stop()


@pytest.fixture
def start_storage():
    """Start an emulator of the test's own: `start_storage(scheme)`."""
    started = []

    def start(scheme):
        started.append(object_storage.ObjectStorage(scheme))
        return started[-1]

    yield start
    for storage in started:
        storage.stop()


@pytest.fixture
def env(s3, cache, tmp_path):
    """Return the environment of programs, with an empty cache of shards."""
    return lambda num_devices=1: (
        programs.environment(cache, num_devices)
        | s3.variables
        | {"NOISE2MAP_CACHE": str(tmp_path / "shards")}
    )


def arguments(data, workdir, *options):
    return (
        "--config=tests/helpers/thin_config.py",
        f"--config.data.data_dir={data}",
        f"--workdir={workdir}",
        f"--config.train.num_steps={NUM_STEPS}",
        "--config.train.eval_every_steps=4",
        "--config.train.ema_decay=0.9",
        *options,
    )


def wait_for(true, processes):
    deadline = time.monotonic() + 240
    while not true():
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes), "a process has ended"
        time.sleep(0.02)


def newest(storage, address):
    """The last step whose checkpoint is complete in the bucket; 0 without one."""
    names = storage.names(address.removeprefix("s3://bucket/"))
    steps = [name.split("/")[2] for name in names if name.startswith("checkpoints/latest/")]
    complete = [
        int(step)
        for step in steps
        if f"checkpoints/latest/{step}/commit_success.txt" in names
        and f"checkpoints/latest/{step}/{MARK}" not in names
    ]
    return max(complete, default=0)


def download(storage, folder, here):
    for name in storage.names(folder):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        storage.files.get_file(f"bucket/{folder}/{name}", str(here / name))
    return here


def states(workdir):
    """All arrays of the newest state and of the best parameters, whatever devices had them."""
    here, found = jax.sharding.SingleDeviceSharding(jax.devices()[0]), []
    for kind in ("latest", "best"):
        folder = (workdir / "checkpoints" / kind).resolve()
        handler = ocp.StandardCheckpointHandler()
        with contextlib.closing(ocp.CheckpointManager(folder, item_handlers=handler)) as manager:
            step = manager.latest_step()
            abstract = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here),
                manager.item_metadata(step),
            )
            tree = manager.restore(step, args=ocp.args.StandardRestore(abstract))
        found.append((kind, step, [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]))
    return found


@pytest.mark.parametrize(
    ("num_processes", "options"), [(1, ()), pytest.param(2, SPLIT, marks=pytest.mark.long)]
)
def test_killed_and_resumed_a_run_ends_as_on_a_disk(
    num_processes, options, s3, env, thin_data, tmp_path
):
    here, address = tmp_path / "local", f"s3://bucket/of-{num_processes}"
    programs.run_together(arguments(thin_data, here, *options), env(2), num_processes)

    in_bucket = arguments("s3://bucket/data", address, *options)
    started = programs.start_together(in_bucket, env(2), num_processes)
    try:
        wait_for(lambda: newest(s3, address) >= 4, started)
    finally:
        for process in started:
            process.kill()
        outputs = programs.read_together(started)
        print(*outputs, sep="\n")  # where the test fails
    assert started[0].returncode == -signal.SIGKILL
    assert newest(s3, address) < NUM_STEPS

    outputs = programs.run_together(in_bucket, env(2), num_processes)
    assert "resuming at " in outputs[0]
    assert f"work folder {address}" in outputs[0]
    there = download(s3, f"of-{num_processes}", tmp_path / "there")
    for (kind, step, found), (_, expected_step, expected) in zip(
        states(there), states(here), strict=True
    ):
        assert step == expected_step, kind
        assert len(found) == len(expected) > 20
        for a, b in zip(found, expected, strict=True):
            assert a.tobytes() == b.tobytes()
    assert metrics(there) == metrics(here)
    assert metrics(there, "val/f1/foreground") == metrics(here, "val/f1/foreground")
    config = json.loads((there / "config.json").read_text())
    assert config["data"]["data_dir"] == "s3://bucket/data"
    for path in there.rglob("*"):  # credentials are nowhere
        assert path.is_dir() or b"of-a-test" not in path.read_bytes()
    fetched = {path.name.split(".")[0] for path in (tmp_path / "shards").rglob("*array_record*")}
    assert fetched == {"thin_ss-train", "thin_ss-val"}


def test_a_run_in_a_bucket_is_evaluated_and_used(s3, env, tmp_path):
    options = ("--config.train.num_steps=4",)
    programs.run(arguments("s3://bucket/data", "s3://bucket/one", *options), env())
    done = programs.run(("--workdir=s3://bucket/one", "--mode=eval"), env())
    assert "pictures: s3://bucket/one/report/predictions.png" in done.stdout
    assert {"report/scores_test.json", "report/predictions.png"} <= s3.names("one")

    output = tmp_path / "map.tif"
    image = scene(tmp_path)
    predict = (f"--image={image}", f"--output={output}", "--workdir=s3://bucket/one")
    programs.run(predict, env(), program=warm_start.PREDICT)
    assert output.is_file()
    refused = programs.run(
        (predict[0], "--output=s3://bucket/map.tif", predict[2]), env(), 2, warm_start.PREDICT
    )
    assert "cannot be an address such as s3://" in one_line(refused)

    # Members of a study record that test is opened, in the folder of the study.
    download(s3, "one", tmp_path / "one")
    shutil.rmtree(tmp_path / "one" / "report")
    s3.upload(tmp_path / "one", "study/members/a-0")
    s3.files.pipe_file("bucket/study/study.json", b"{}")
    refused = programs.run(("--workdir=s3://bucket/study/members/a-0", "--mode=eval"), env(), 2)
    assert "s3://bucket/study/members/a-0 is of a study" in one_line(refused)
    assert "report/scores_test.json" not in s3.names("study/members/a-0")


def scene(folder):
    import rasterio

    path = folder / "scene.tif"
    profile = {"driver": "GTiff", "width": 32, "height": 32, "count": 3, "dtype": "uint8"}
    transform = rasterio.transform.from_origin(0, 32, 1, 1)
    with rasterio.open(path, "w", crs="EPSG:32633", transform=transform, **profile) as file:
        file.write(np.random.default_rng(0).integers(0, 255, (3, 32, 32), np.uint8))
    return path


def one_line(done):
    lines = [line for line in done.stderr.splitlines() if line]
    assert len([line for line in lines if not line.startswith("train: 0/")]) == 1, done.stderr
    assert lines[-1].startswith("error: ")
    return lines[-1]


@pytest.mark.parametrize(
    ("data", "workdir", "words"),
    [
        ("s3://bucket/data", "s3://nowhere/run", "there is no bucket s3://nowhere; make it"),
        ("s3://nowhere/data", "s3://bucket/x", "there is no bucket s3://nowhere; make it"),
        ("s3://bucket/none", "s3://bucket/x", "no dataset 'thin_ss' in 's3://bucket/none'"),
        ("s3://bucket/damaged", "s3://bucket/x", ".array_record-00000-of-00001 is damaged"),
        ("s3://bucket/data", "ftp://bucket/x", "ftp:// cannot be used: expected s3://BUCKET"),
    ],
)
def test_what_is_wrong_is_one_line(data, workdir, words, s3, env, thin_data):
    if "damaged" in data:
        s3.upload(thin_data / "thin_ss", "damaged/thin_ss")
        shard = "bucket/damaged/thin_ss/1.0.0/thin_ss-train.array_record-00000-of-00001"
        s3.files.pipe_file(shard, s3.files.cat_file(shard)[:-1])
    assert words in one_line(programs.run(arguments(data, workdir), env(), 2))


def test_without_permission_it_is_one_line(env, thin_data):
    server = object_storage.Refusing()
    variables = env() | object_storage.variables("s3", server.port)
    done = programs.run(arguments(thin_data, "s3://bucket/run"), variables, 2)
    assert "no permission to read s3://bucket/run: Access Denied" in one_line(done)
    server.stop()


def test_credentials_that_expire_end_a_run_with_one_line_and_new_ones_resume_it(s3, env, thin_data):
    door = object_storage.Refusing(
        "ExpiredToken", "The provided token has expired", door_to=s3.port
    )
    variables = env() | object_storage.variables("s3", door.port)
    started = programs.start(
        arguments(thin_data, "s3://bucket/expired", "--config.train.num_steps=100000"), variables
    )
    try:
        wait_for(lambda: newest(s3, "s3://bucket/expired") >= 4, [started])
        door.shut = True
        output = started.communicate(timeout=240)[0]
    finally:
        started.kill()
        door.stop()
    assert started.returncode == 2
    line = output.strip().splitlines()[-1]
    # The first request that is refused may be of either kind, and of any file of the run.
    assert re.match(
        r"error: no permission to (read|write) s3://bucket/expired(/\S+)?: The provided to", line
    )
    last = newest(s3, "s3://bucket/expired")
    options = (f"--config.train.num_steps={last + 4}", "--config.train.cosine=False")
    done = programs.run(arguments(thin_data, "s3://bucket/expired", *options), env())
    assert f"resuming at {last}" in done.stdout


@pytest.mark.long
def test_a_run_in_googles_storage_is_trained_and_resumed(start_storage, env, thin_data):
    storage = start_storage("gs")
    storage.upload(thin_data / "thin_ss", "data/thin_ss")
    variables = env() | storage.variables
    for steps, words in ((4, "work folder gs://bucket/run"), (8, "resuming at 4")):
        options = (f"--config.train.num_steps={steps}",)
        done = programs.run(arguments("gs://bucket/data", "gs://bucket/run", *options), variables)
        assert words in done.stdout
    assert "checkpoints/latest/8/commit_success.txt" in storage.names("run")


@pytest.mark.long
def test_a_connection_that_is_lost_ends_the_run_with_one_line(start_storage, env, thin_data):
    storage = start_storage("s3")
    variables = env() | storage.variables | {"NOISE2MAP_BUCKET_PATIENCE": "5"}
    options = ("--config.train.num_steps=100000",)
    process = programs.start(arguments(thin_data, "s3://bucket/run", *options), variables)
    try:
        wait_for(lambda: newest(storage, "s3://bucket/run") >= 4, [process])
        storage.stop()
        output = process.communicate(timeout=240)[0]
    finally:
        process.kill()
    assert process.returncode == 2
    line = output.strip().splitlines()[-1]
    assert line.startswith("error: s3://bucket/run cannot be reached: Could not connect")
