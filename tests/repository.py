"""Des dépôts Git d'essai : ce que partagent les tests qui mettent le cours à jour."""

import subprocess
from pathlib import Path


def git(folder: Path, *arguments: str | Path) -> str:
    """Ce qu'écrit une commande de Git dans `folder`, sous un nom d'essai."""
    who = ("-c", "user.name=essai", "-c", "user.email=essai@localhost")
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path) -> None:
    """Enregistre tout ce que contient `folder`."""
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "essai")
