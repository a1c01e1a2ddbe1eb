"""Le diagnostic de la leçon 00 : ce qui manque à l'environnement, et comment y remédier."""

import sys
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

REMEDY = "fermez JupyterLab, puis lancez « python3 cours.py » (« py cours.py » sous Windows) dans le dossier du cours"


def diagnose() -> str:
    """Une ligne par vérification : bonne, ou ce qui ne va pas et le remède.

    >>> diagnose().splitlines()[0]
    '✓ Python 3.11 ou plus récent'
    """
    wanted = [Requirement(line) for line in requires("toylib") or ()]
    wanted = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": "cours"})]
    lines = [_check_python(), *map(_check_package, wanted), _check_torch()]
    faults = sum(line.startswith("✗") for line in lines)
    verdict = "Tout est prêt." if not faults else f"{faults} point(s) à corriger : {REMEDY}."
    return "\n".join([*lines, verdict])


def _check_python(found: tuple = sys.version_info) -> str:
    """Python est-il assez récent ?"""
    if tuple(found[:2]) >= (3, 11):
        return "✓ Python 3.11 ou plus récent"
    return f"✗ Python {found[0]}.{found[1]} est trop vieux : il faut 3.11 ou plus récent"


def _check_package(wanted: Requirement) -> str:
    """Le paquet est-il là, dans une version du bon intervalle ?"""
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        return f"✗ {wanted.name} n'est pas installé"
    if wanted.specifier.contains(found, prereleases=True):
        return f"✓ {wanted.name}"
    return f"✗ {wanted.name} {found} est installé : il faut {wanted.specifier}"


def _check_torch() -> str:
    """PyTorch calcule-t-il ?"""
    try:
        import torch

        return "✓ PyTorch calcule" if torch.ones(2).sum() == 2 else "✗ PyTorch calcule faux"
    except (ImportError, OSError) as error:
        return f"✗ PyTorch ne démarre pas ({error})"
