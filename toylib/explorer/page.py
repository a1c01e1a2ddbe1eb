"""L'explorateur en une page : son curseur y vit sans noyau et sans réseau."""

import json
import re
import zlib
from base64 import b64encode
from html import escape
from pathlib import Path
from string import Template

import numpy as np

from toylib.explorer.stage import Stage

HERE = Path(__file__).parent
PARTS = ("page.html", "stage.css", "stage.js", "page.js")
KINDS = (".html", ".htm")
LARGEST = 400_000  # octets d'une page


def write_page(path: Path, stage: Stage, frames: list[dict], **texts) -> None:
    """Écrit la page de `frames`, des images dont la clé est « rang du taux, rang de l'optimiseur ».

    Lève : `ValueError` si elle dépasse `LARGEST` octets, ou si `path` ne peut pas s'écrire.
    """
    recall, heights = _split(frames)
    data = {"figures": stage.figures, "font": stage.font, **recall, **texts}
    page, style, *scripts = ((HERE / name).read_text("utf-8") for name in PARTS)
    page = Template(page).substitute(
        title=escape(texts["caption"]),
        style=style,
        script=re.sub(r"^export.*", "", "".join(scripts), flags=re.M),
        data=_squeeze(json.dumps(data).encode()),
        heights=_squeeze(heights),
    )
    size = len(page.encode())
    if size > LARGEST:
        weight = f"{size // 1000} ko, pour {LARGEST // 1000} au plus"
        raise ValueError(f"La page serait trop lourde : {weight}. Choisissez moins d'époques ou moins de vues.")
    try:
        path.write_text(page, "utf-8")
    except OSError as error:
        raise ValueError(f"path doit pouvoir s'écrire ; reçu : {str(path)!r} ({error.strerror}).") from None


def _split(frames: list[dict]) -> tuple[dict, bytes]:
    """Les images sans leurs ordonnées, et toutes celles-ci, en entiers de 16 bits.

    Une ordonnée est comptée en centièmes de point de la figure, depuis la précédente ; 65 535 n'en est pas une.
    """
    abscissas, heights, light = {}, [], []
    for frame in frames:
        parts = {}
        for gid, part in frame["parts"].items():
            if "points" in part:
                x, y = np.frombuffer(part["points"], np.float32).reshape(-1, 2).T
                heights.append(np.nan_to_num(100 * y, nan=65535).clip(0, 65535).round().astype("<u2"))
                part = {"x": abscissas.setdefault(tuple(np.round(x, 2).tolist()), len(abscissas))}
            parts[gid] = part
        light.append({**frame, "parts": parts})
    steps = [np.diff(one, prepend=one.dtype.type(0)) for one in heights]  # les écarts se compriment mieux
    return {"recall": light, "x": [*abscissas]}, np.concatenate(steps).tobytes()


def _squeeze(data: bytes) -> str:
    return b64encode(zlib.compress(data, 9)).decode()
