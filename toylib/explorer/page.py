"""L'explorateur en une page : son curseur y vit sans noyau et sans réseau."""

import json
import re
import zlib
from base64 import b64encode
from html import escape
from pathlib import Path
from string import Template

import numpy as np

from toylib._checks import refusing
from toylib.explorer.stage import Stage

HERE = Path(__file__).parent
PARTS = ("page.html", "stage.css", "stage.js", "page.js")
KINDS = (".html", ".htm")
LARGEST = 400_000  # octets d'une page
NOWHERE = 10**7  # cinquantièmes de point, bien au-delà de toute figure


def write_page(path: Path, stage: Stage, frames: list[dict], **texts) -> None:
    """Écrit la page de `frames`, des images dont la clé est « rang du taux, rang de l'optimiseur ».

    Lève : `ValueError` si elle dépasse `LARGEST` octets, ou si `path` ne peut pas s'écrire.
    """
    data = {"figures": stage.figures, "font": stage.font, **_lighten(frames), **texts}
    page, style, *scripts = ((HERE / name).read_text("utf-8") for name in PARTS)
    page = Template(page).substitute(
        title=escape(texts["caption"]),
        style=style,
        script=re.sub(r"^export.*", "", "".join(scripts), flags=re.M),
        data=b64encode(zlib.compress(json.dumps(data, separators=(",", ":")).encode(), 9)).decode(),
    )
    size = len(page.encode())
    if size > LARGEST:
        weight = f"{size // 1000} ko, pour {LARGEST // 1000} au plus"
        raise ValueError(f"La page serait trop lourde : {weight}. Choisissez moins d'époques ou moins de vues.")
    with refusing("path", "pouvoir s'écrire"):
        path.write_text(page, "utf-8")


def _lighten(frames: list[dict]) -> dict[str, list]:
    """Les images, dont chaque suite de points n'a plus que le rang de ses abscisses et ses ordonnées.

    Une ordonnée est comptée en cinquantièmes de point de la figure, depuis la précédente : les écarts se compriment
    mieux. `NOWHERE` n'en est pas une.
    """
    abscissas, light = {}, []
    for frame in frames:
        parts = dict(frame["parts"])
        for gid, part in parts.items():
            if "points" in part:
                x, y = np.frombuffer(part["points"], np.float32).reshape(-1, 2).T
                place = abscissas.setdefault(tuple(np.round(x, 2).tolist()), len(abscissas))
                heights = np.nan_to_num(50 * y, nan=NOWHERE).round().astype(int)
                parts[gid] = {"x": place, "steps": np.diff(heights, prepend=0).tolist()}
        light.append({**frame, "parts": parts})
    return {"recall": light, "x": [*abscissas]}
