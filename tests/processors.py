"""Rejoue les carnets comme d'autres machines : python tests/processors.py [sse4] [avx2] [bit-1] [bit-2] …

Un résultat qui change avec le processeur, le nombre de fils ou le dernier bit d'un poids n'en est pas un. Sans
argument, les quatre que les essais rejouent ; bit-3 et les suivants en tirent d'autres.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent

# torch choisit ses noyaux d'après ATEN_CPU_CAPABILITY, ses produits de matrices d'après MKL_… et ONEDNN_… ;
# numpy, les siens d'après NPY_DISABLE_CPU_FEATURES et OPENBLAS_CORETYPE.
SIMD = {
    "sse4": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
}

# Ce qu'un noyau exécute avant la première cellule : tout réseau neuf a chaque poids déplacé d'un bit, vers le haut
# ou vers le bas selon un tirage. Un seul tirage laisserait passer ce qui ne change qu'une fois sur quatre.
_LAST_BIT = """
import torch
from toylib.network import Net

def moved(self, *args, _init=Net.__init__, **kwargs):
    _init(self, *args, **kwargs)
    generator = torch.Generator().manual_seed({seed})
    with torch.no_grad():
        for part in self.parameters():
            sides = torch.randint(2, part.shape, generator=generator) * 2 - 1
            part.copy_(torch.nextafter(part, (sides * torch.inf).to(part.dtype)))

Net.__init__ = moved
"""

# Les leçons demandent un seul fil ; sur « avx2 », chaque cellule en retrouve deux.
_TWO_THREADS = """
import torch
get_ipython().events.register("pre_run_cell", lambda *_: torch.set_num_threads(2))
"""

BITS = ("bit-1", "bit-2")
PROCESSORS = (*SIMD, *BITS)


def environment(name: str, folder: Path) -> dict[str, str]:
    """Les variables qui font d'un noyau neuf celui de la machine `name` ; `folder` reçoit ce qu'il exécute d'abord."""
    startup = folder / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    first = {"sse4": "", "avx2": _TWO_THREADS}.get(name, _LAST_BIT.format(seed=name.removeprefix("bit-")))
    (startup / "00-comme.py").write_text(first, "utf-8")
    variables = {"IPYTHONDIR": str(folder), **SIMD.get(name, {})}
    if name in SIMD:
        found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
        newer = [one for one in found if name == "sse4" or one == "X86_V4" or one.startswith("AVX512")]
        variables["NPY_DISABLE_CPU_FEATURES"] = " ".join(newer)
    return variables


def replay(name: str) -> int:
    """Rejoue les carnets comme la machine `name` ; rend le code de sortie de pytest."""
    print(f"Les carnets, comme « {name} » :", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        variables = {**os.environ, "TQDM_DISABLE": "1", **environment(name, Path(folder))}
        return subprocess.call([sys.executable, "-m", "pytest", "-q", "notebooks"], cwd=ROOT, env=variables)


if __name__ == "__main__":
    unknown = [name for name in sys.argv[1:] if name not in PROCESSORS and not re.fullmatch(r"bit-\d+", name)]
    if unknown:
        sys.exit(f"Machine inconnue : {', '.join(unknown)}. Au choix : {', '.join(PROCESSORS)}.")
    sys.exit(max(replay(name) for name in sys.argv[1:] or PROCESSORS))
