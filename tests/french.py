"""Ce qui, dans un texte, n'est pas du français : hunspell, son dictionnaire, et les mots du cours (`mots.txt`)."""

import re
import subprocess
from pathlib import Path

COURSE, CODE = (
    frozenset((Path(__file__).parent / name).read_text("utf-8").split()) for name in ("mots.txt", "mots_du_code.txt")
)
ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted([*ROOT.glob("notebooks/*.md"), *ROOT.glob("docs/*.md")])
# L'anglais et les fautes du texte d'origine : admis dans une citation seulement.
QUOTED = re.compile(
    r"\b(?:accuracy|backpropagation|décroitre|entrainer|entrepie|grace|learning|loss|NeuralNet|overfit|Pytorch|shuffle)\b"
)
# Ce que la typographie française veut insécable, dans un texte dont le code est ôté.
ORDINARY_SPACE = re.compile(r"« | »| [:;!?](?=\s|$|\*|\))|\d %(?!\w)|\d (?:ms|min|s|Mo|Go|époques?)\b|\d \d{3}(?!\d)")
NOT_PROSE = re.compile(
    "|".join(
        (
            r"```.*?```|``[^`]*``|`[^`]*`",  # le code
            r"(?<!\*)\*(?!\*)[^*\n]+\*(?!\*)",  # l'italique : les mots étrangers
            r"\$\$.*?\$\$|\$[^$]*\$",  # les formules
            r"(?<=\])\([^)]*\)|https?://\S+|\S+\.(?:ipynb|py|toml|md|cff)\b",  # les cibles des liens et les fichiers
            r"<!--.*?-->|<[^>]*>|&\w+;",  # les balises
        )
    ),
    re.DOTALL,
)


def unknown_words(text: str, known: frozenset[str] = COURSE) -> set[str]:
    """Les mots de `text` que ni le dictionnaire français ni `known` ne connaissent.

    Un mot anglais est donc inconnu, sauf s'il est admis dans `known` ou s'écrit aussi en français.
    """
    text = re.sub(r"«[^»]*»", lambda quote: QUOTED.sub(" ", quote[0]), NOT_PROSE.sub(" ", text))
    words = {word for word in re.findall(r"[^\W\d_]+", text) if len(word) > 1} - known
    command = ["hunspell", "-d", "fr_FR", "-i", "utf-8", "-l"]
    done = subprocess.run(command, input="\n".join(words), capture_output=True, text=True, encoding="utf-8", check=True)
    return set(done.stdout.split())
