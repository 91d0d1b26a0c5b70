"""The JSON file of results: every part is in it, with what was found or why it was not."""

import json
import os
import pathlib
import re
from typing import Any

from benchmarks.accelerator.processes import FAILED, MEASURED, NO_TIME, NOT_POSSIBLE
from noise2map_jax import strict_json
from noise2map_jax.errors import UserError

FIELDS = {"state", "reason", "seconds", "found"}  # of a part
NEVER_TRIED = "no call has come to it"
LONGEST = 60  # letters of a value in what is told
DONE = (MEASURED, NOT_POSSIBLE)  # not to be tried again


class Record:
    """The results of one machine and its versions."""

    def __init__(self, path: pathlib.Path, circumstances: dict[str, Any], parts: list[str]):
        """Read what an earlier call left, or begin anew.

        Args:
            path: the file; it need not be there.
            circumstances: machine, versions and sizes: where they differ, nothing is kept.
            parts: names of all parts, in the order of importance.
        """
        self.path = path
        self.content: dict[str, Any] = {"benchmark": "accelerator", "circumstances": circumstances}
        self.news = ""
        before = _read(path)
        earlier = before.get("circumstances", {})
        names = sorted(earlier.keys() | circumstances.keys())
        changed = [name for name in names if earlier.get(name) != circumstances.get(name)]
        if before and not changed:
            self.content = before
        elif before:
            told = [
                f"{n} was {_short(earlier.get(n))}, is {_short(circumstances.get(n))}"
                for n in changed
            ]
            self.news = f"{path} is begun anew: {'; '.join(told)}"
        lacking = {"state": NO_TIME, "reason": NEVER_TRIED, "seconds": 0.0, "found": {}}
        held = self.content.get("parts", {})
        self.content["parts"] = {name: held.get(name, dict(lacking)) for name in parts}

    def part(self, name: str) -> dict[str, Any]:
        """Return what is known of a part: state, reason, seconds, found."""
        entry: dict[str, Any] = self.content["parts"][name]
        return entry

    def lacks(self, name: str) -> bool:
        """Whether a part is to be measured, or what is left of it."""
        return self.part(name)["state"] not in DONE

    def forget(self, name: str) -> None:
        """Drop what was found of a part."""
        self.part(name).update(state=NO_TIME, reason=NEVER_TRIED, seconds=0.0, found={})

    @property
    def failed(self) -> list[str]:
        """Names of the parts that failed."""
        return [name for name, entry in self.content["parts"].items() if entry["state"] == FAILED]

    def write(self) -> None:
        """Write the file, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(strict_json.dumps(self.content, indent=2) + "\n")
        os.replace(temporary, self.path)


def file_name(device_kind: str) -> str:
    """Return the file name of a kind of device: NVIDIA H200 -> accelerator_nvidia_h200.json."""
    return f"accelerator_{re.sub(r'[^a-z0-9]+', '_', device_kind.lower()).strip('_')}.json"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _read(path: pathlib.Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError:
        content = None
    parts = content.get("parts") if isinstance(content, dict) else None
    if (
        not isinstance(parts, dict)
        or content.get("benchmark") != "accelerator"
        or not all(isinstance(part, dict) and part.keys() >= FIELDS for part in parts.values())
    ):
        raise UserError(
            f"{path} holds no whole results of this benchmark; delete it or name another --output"
        )
    return content
