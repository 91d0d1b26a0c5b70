"""Damage sources, build, check: `fuzzing.py WORKDIR SEED ROUNDS NAME SUBFOLDER [OPTION ...]`.

One process runs many builds, because starting a process takes longer than building a miniature. It
prints one JSON object a build. Memory is limited, and an alarm ends a build that hangs.
"""

import contextlib
import hashlib
import io
import json
import pathlib
import random
import resource
import shutil
import signal
import sys
import traceback

import damage
import numpy as np
from PIL import Image

from data_prep.__main__ import main, parse
from data_prep.builders.catalogue import BUILDERS
from data_prep.drawing import scenes as drawing
from data_prep.miniatures.command import MINIATURES
from data_prep.shards import prepared

MEMORY = 2 * 2**30
SECONDS = 60  # Limit of a build that takes a tenth of a second; the machine may be busy.
DAMAGED = 6  # Number of damaged files in a build.


def write_folder(source, task):
    """Write scenes with every kind of file for `data_prep folder`."""
    rng = np.random.default_rng(0)
    suffixes = (".png", ".jpg", ".tif")
    for split, number in (("train", 6), ("val", 3), ("test", 3)):
        for i in range(number):
            if task == "cd":
                pre, post, mask = drawing.change_scene(rng, 64)
                arrays = {"A": pre, "B": post, "label": mask[..., 0] * 255}
            else:
                image, mask = drawing.segmentation_scene(rng, 64)
                arrays = {"image": image, "mask": mask[..., 0]}
            for role, array in arrays.items():
                suffix = suffixes[i % 3] if array.ndim == 3 else suffixes[i % 2 * 2]
                path = source / split / role / f"{split}{i}{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)


def records_by_scene(folder):
    """Return (split, scene) -> a digest of its records that leaves out the split."""
    dataset = prepared.open_prepared(folder)
    digests = {}
    for shard in dataset.every_shard():
        for record in dataset.records(shard):
            split, key = record.pop("id").decode().split("/", 1)
            digest = digests.setdefault((split, key.rsplit("/", 1)[0]), hashlib.sha256())
            digest.update(key.encode())
            for name in sorted(record):
                digest.update(np.ascontiguousarray(record[name]).tobytes())
    return {scene: digest.hexdigest() for scene, digest in digests.items()}


def peak_memory():
    """Return the peak memory of this process in bytes; `ru_maxrss` would include its parent's."""
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def quiet_main(command):
    """Run a command; return its exit code and its error message."""
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        code = main(command)
    said = errors.getvalue().replace("\r", "\n")
    return code, said[said.find("data_prep: error: ") :] if "data_prep: error: " in said else ""


def damaged_copy(pristine, source, used, rng, counts):
    """Copy a source and damage some of its used files, each in another way."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(pristine, source)
    chosen = rng.sample(used, min(DAMAGED, len(used)))
    done = {}
    for name in chosen:
        suffix = pathlib.Path(name).suffix.lower()
        ways = damage.ways(suffix)
        way = ways[counts.setdefault(suffix, rng.randrange(100)) % len(ways)]
        counts[suffix] += 1
        data = (pristine / name).read_bytes()
        other = (pristine / rng.choice(used)).read_bytes()
        (source / name).write_bytes(way(data, rng, other))
        done[name] = way.__name__
    return done


def check(folder, reference, files_of_scene, damaged, source):
    """Return the faults of a finished build, and its rejected files with their reasons."""
    wrong = []
    manifest = json.loads((folder / "manifest.json").read_text())
    rejected = {entry["path"]: entry["reason"] for entry in manifest["rejected"]}
    if manifest["used"] + len(manifest["rejected"]) != manifest["found"]:
        wrong.append(f"{manifest['used']} + {len(rejected)} is not {manifest['found']}")
    wrong += [
        f"{name} is not accounted for"
        for name in damaged
        if name not in rejected and name not in manifest["files"]
    ]
    wrong += [f"{path}: no reason" for path, reason in rejected.items() if not reason.strip()]
    found = records_by_scene(folder)
    for scene, files in files_of_scene.items():
        if files & damaged.keys() or any(_is_twin(rejected.get(f, ""), damaged) for f in files):
            continue
        # The split may differ: a val split that is cut from train changes when scenes are lost.
        same = [digest for (_, name), digest in found.items() if name == scene[1]]
        if reference[scene] not in same:
            wrong.append(f"scene {scene} is gone or changed, but none of its files was damaged")
    sheet = folder.parent / "sheet.png"
    code, said = quiet_main(
        ["verify", str(folder), f"--source={source}", f"--output={sheet}", "--num_workers=1"]
    )
    return wrong + ([said] if code else []), rejected


def _is_twin(reason, damaged):
    """Whether a file was left out because it equals a damaged file of a later split."""
    return reason.startswith("is the same image") and any(name in reason for name in damaged)


def hang(_signal, _frame):
    raise TimeoutError(f"still building after {SECONDS} s")


def fuzz(workdir, seed, rounds, name, subfolder, options):
    """Yield a report of each build."""
    builder, pristine, source = name, workdir / "pristine", workdir / "source"
    pristine.mkdir(parents=True)
    if name == "folder":
        write_folder(pristine, "cd" if "--task=cd" in options else "ss")
    else:
        MINIATURES[name].write(pristine, seed=0, size=64)
    command = [builder, *options, "--on_error=skip", "--num_workers=1", "--name=fuzz"]
    command = [*command, "--overwrite", f"--data_dir={workdir}"]

    pristine /= subfolder
    args = parse([*command, f"--source={pristine}"])
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        plan = BUILDERS[builder].plan(args, "fuzz")
    pristine = plan.source  # A builder may choose a folder inside the source.
    files_of_scene = {
        (scene.split, scene.name): {
            path.relative_to(pristine).as_posix() for path in scene.files.values()
        }
        for scene in plan.scenes
    }
    code, said = quiet_main([*command, f"--source={pristine}"])
    assert code == 0, said
    folder = workdir / "fuzz/1.0.0"
    used = sorted(json.loads((folder / "manifest.json").read_text())["files"])
    reference = records_by_scene(folder)

    rng, counts = random.Random(seed), {}
    signal.signal(signal.SIGALRM, hang)
    for _ in range(rounds):
        # One scene of each split stays undamaged, because an empty split is another error.
        kept = {scene.split: scene for scene in rng.sample(plan.scenes, len(plan.scenes))}
        whole = {
            name for scene in kept.values() for name in files_of_scene[scene.split, scene.name]
        }
        candidates = [name for name in used if name not in whole]
        damaged = damaged_copy(pristine, source, candidates, rng, counts)
        report = {"damaged": damaged, "wrong": [], "rejected": {}, "said": ""}
        shutil.rmtree(folder, ignore_errors=True)
        signal.alarm(SECONDS)
        try:
            report["code"], report["said"] = quiet_main([*command, f"--source={source}"])
        except BaseException:
            report["code"] = -1
            report["wrong"].append(traceback.format_exc()[-1500:])
        signal.alarm(0)
        if report["code"] == 0:
            report["wrong"], report["rejected"] = check(
                folder, reference, files_of_scene, damaged, source
            )
        elif folder.exists():
            report["wrong"].append("an error left a dataset")
        report["peak"] = peak_memory()
        yield report


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    where, seed_text, rounds_text, dataset, below, *rest = sys.argv[1:]
    for line in fuzz(pathlib.Path(where), int(seed_text), int(rounds_text), dataset, below, rest):
        print(json.dumps(line), flush=True)
