"""Rejoue les carnets comme d'autres machines : python tests/processors.py [sse4] [avx2] [bit-1] … [deux-fils]

Un résultat qui change avec le processeur, le nombre de fils ou le dernier bit d'un poids n'en est pas un. Sans
argument, toutes.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent

# torch choisit ses noyaux d'après ATEN_CPU_CAPABILITY, ses produits de matrices d'après MKL_… et ONEDNN_… ;
# numpy, les siens d'après NPY_DISABLE_CPU_FEATURES et OPENBLAS_CORETYPE.
_SSE4 = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Nehalem",
}
_AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
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

# Les leçons demandent un seul fil ; ici, chaque cellule en retrouve deux.
_TWO_THREADS = """
import torch
get_ipython().events.register("pre_run_cell", lambda *_: torch.set_num_threads(2))
"""

BITS = {f"bit-{seed}": _LAST_BIT.format(seed=seed) for seed in (1, 2, 3)}
STARTUPS = BITS | {"deux-fils": _TWO_THREADS}
PROCESSORS = ("sse4", "avx2", *STARTUPS)


def environment(name: str, folder: Path) -> dict[str, str]:
    """Les variables qui font d'un noyau neuf celui de la machine `name` ; `folder` reçoit ce qu'il exécute d'abord."""
    if name in STARTUPS:
        startup = folder / "profile_default" / "startup"
        startup.mkdir(parents=True, exist_ok=True)
        (startup / "00-comme.py").write_text(STARTUPS[name], "utf-8")
        return {"IPYTHONDIR": str(folder)}
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    newer = [one for one in found if name == "sse4" or one == "X86_V4" or one.startswith("AVX512")]
    return {**(_SSE4 if name == "sse4" else _AVX2), "NPY_DISABLE_CPU_FEATURES": " ".join(newer)}


def replay(name: str) -> int:
    """Rejoue les carnets comme la machine `name` ; rend le code de sortie de pytest."""
    print(f"Les carnets, comme « {name} » :", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        variables = {**os.environ, "TQDM_DISABLE": "1", **environment(name, Path(folder))}
        return subprocess.call([sys.executable, "-m", "pytest", "-q", "notebooks"], cwd=ROOT, env=variables)


if __name__ == "__main__":
    unknown = set(sys.argv[1:]) - set(PROCESSORS)
    if unknown:
        sys.exit(f"Machine inconnue : {', '.join(unknown)}. Au choix : {', '.join(PROCESSORS)}.")
    sys.exit(max(replay(name) for name in sys.argv[1:] or PROCESSORS))
