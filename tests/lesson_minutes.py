"""Le temps qu'une leçon demande à un élève seul, et en classe : python tests/lesson_minutes.py [CARNET …]

Un mot demande un centième de minute (textes et tableaux ; une formule compte pour un mot), une ligne de code un
quart, une prédiction trois, un exercice huit, une question de quiz une. « Pour aller plus loin » et les exercices
étoilés sont à part. En classe, les mots et le code de l'essentiel comptent moitié.
"""

import re
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import nbformat

ROOT = Path(__file__).resolve().parent.parent
HEADING = re.compile(r"^(#{1,6}) (.*)$", re.MULTILINE)
FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$", re.DOTALL)


class Load(NamedTuple):
    """Ce qu'une partie de leçon donne à lire et à faire."""

    words: int = 0
    code: int = 0
    predictions: int = 0
    exercises: int = 0
    questions: int = 0

    def minutes(self, reading: float = 1.0) -> float:
        """Sa durée ; `reading`, la part de la lecture qui reste à faire."""
        read = reading * (self.words / 100 + self.code / 4)
        return read + 3 * self.predictions + 8 * self.exercises + self.questions

    def plus(self, other: "Load") -> "Load":
        return Load(*(a + b for a, b in zip(self, other)))


class Lesson(NamedTuple):
    """L'essentiel d'une leçon, et ce qui va plus loin."""

    core: Load
    beyond: Load

    def rounded(self) -> tuple[int, int, int]:
        """Minutes, à 5 près : l'essentiel, seul ; l'essentiel, en classe ; pour aller plus loin."""
        durations = self.core.minutes(), self.core.minutes(reading=0.5), self.beyond.minutes()
        return tuple(5 * round(minutes / 5) for minutes in durations)


def measure(path: Path) -> Lesson:
    """Compte ce que le carnet `path` demande."""
    parts, beyond, starred = {False: Load(), True: Load()}, False, False
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            further = beyond or starred
            lines = sum(bool(line.strip()) for line in cell.source.splitlines())
            parts[further] = parts[further].plus(Load(code=lines))
            continue
        for level, title, text in sections(cell.source):
            if level and level <= 2:
                beyond, starred = title.startswith("Pour aller plus loin"), False
            elif level == 3:
                starred = "★" in title
            further = beyond or starred
            parts[further] = parts[further].plus(read(level, title, text))
    return Lesson(parts[False].plus(Load(questions=questions(path.name[:2]))), parts[True])


def sections(source: str) -> list[tuple[int, str, str]]:
    """Les morceaux d'une cellule de texte : le niveau et le titre qui les précèdent, 0 et rien s'il n'y en a pas."""
    found = list(HEADING.finditer(source))
    starts = [match.start() for match in found] + [len(source)]
    pieces = [(0, "", source[: starts[0]])] if source[: starts[0]].strip() else []
    ends = zip(found, starts[1:])
    return pieces + [(len(match[1]), match[2], source[match.start() : end]) for match, end in ends]


def read(level: int, title: str, text: str) -> Load:
    """Ce qu'un morceau donne à lire et à faire."""
    words = re.findall(r"\w[\w'’-]*", FORMULA.sub(" formule ", text))
    exercise = level == 3 and title.startswith("Exercice")
    return Load(len(words), 0, text.count("**Votre prédiction :**".replace(" :", "\xa0:")), int(exercise))


def questions(number: str) -> int:
    """Les questions du quiz d'une leçon."""
    data = tomllib.loads((ROOT / f"toylib/lessons/questions/{number}.toml").read_text("utf-8"))
    return len(data.get("quiz", []))


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:] or sorted(map(str, (ROOT / "notebooks").glob("*.ipynb")))):
        core, beyond = lesson = measure(path)
        alone, classroom, further = lesson.rounded()
        print(f"{path.stem} : {alone} min seul, {classroom} en classe ; plus loin {further} · {core} · {beyond}")
