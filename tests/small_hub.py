"""De quoi essayer le hub d'une classe sans systemd ni proxy : un dossier ouvert, et de faux programmes."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

FAKE = {
    "systemctl": "echo systemd 252",
    "systemd-run": "exit 1",
    "useradd": "exit 0",
    "configurable-http-proxy": "",
    "node": "",
}


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """Un dossier que les élèves traversent ; non ceux de pytest, qu'une autre suite qui commence leur referme."""
    with tempfile.TemporaryDirectory() as made:
        path = Path(made)
        for one in (path, *path.parents):
            if one.stat().st_uid == os.getuid() and one.stat().st_mode & 0o055 != 0o055:
                one.chmod(0o755)
        (path / "bin").mkdir()
        for name, line in FAKE.items():
            (path / "bin" / name).write_text(f"#!/bin/sh\n{line}\n")
            (path / "bin" / name).chmod(0o755)
        yield path


def settings(folder: Path, data: Path, **changed: object) -> dict[str, str]:
    """L'environnement d'un hub dont le dossier est `data`, et les programmes ceux de `folder`."""
    found = {"HUB_DOSSIER": data, "HUB_SYSTEMD": folder, "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    return {name: str(value) for name, value in {**found, **changed}.items()}
