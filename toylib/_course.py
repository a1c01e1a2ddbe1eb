"""Ce que le cours demande de plus que la bibliothèque : les paquets de l'extra `cours`."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def course_packages() -> Iterator[None]:
    """Dit en français quel paquet manque à un import, et la commande qui l'installe.

    >>> with course_packages():
    ...     import introuvable
    Traceback (most recent call last):
    ModuleNotFoundError: Il manque introuvable, que demandent l'explorateur et les leçons : lancez
    « pip install "toylib[cours]" », ou « python3 cours.py » dans le dossier du cours.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if str(error.name).startswith("toylib"):
            raise
        said = f"Il manque {error.name}, que demandent l'explorateur et les leçons : "
        said += 'lancez « pip install "toylib[cours]" », ou « python3 cours.py » dans le dossier du cours.'
        raise ModuleNotFoundError(said, name=error.name) from None
