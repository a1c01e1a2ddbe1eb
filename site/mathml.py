"""Les formules en MathML : le navigateur les compose lui-même, sans script et sans réseau."""

import re

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

FUNCTION = r"\\(?:cosh|ln|log|sinh|tanh)(?![a-z])"
# Ce que latex2mathml ne compose pas comme LaTeX : avant la conversion…
LATEX = [
    (r"(?<=\d)\{,\}(?=\d)", "."),  # la virgule décimale, pour que le nombre reste entier
    (r"\\mathrm\b", r"\\text"),  # un nom de plusieurs lettres est un mot, et non un produit
    (rf"(?<=[\w)}}])\s*({FUNCTION})", r"\\,\1"),  # une espace fine avant une fonction…
    (rf"({FUNCTION})(?!\s*(?:\(|\\left|[_^']))", r"\1\\,"),  # … et après, sauf devant une parenthèse
]
# … et après.
MATHML = [
    (r"<mn>(\d+)\.(\d+)</mn>", r"<mn>\1,\2</mn>"),
    (r"<mi>(&#x027F[4-F];)</mi>", r"<mo>\1</mo>"),  # les longues flèches sont des opérateurs
    (r"(<mo[^>]*>(?:[^&<]|&#x(?!00029;|0007C;)\w+;)</mo>)<mo>&#x02212;", r'\1<mo form="prefix">&#x02212;'),
]


def to_mathml(latex: str, display: str = "inline") -> str:
    """La formule en MathML, dans la ligne ("inline") ou sur la sienne ("block").

    >>> re.findall("<m.>.*?</m.>", to_mathml("w = 0{,}5").partition("<mrow>")[2])
    ['<mi>w</mi>', '<mo>&#x0003D;</mo>', '<mn>0,5</mn>']
    """
    for pattern, replacement in LATEX:
        latex = re.sub(pattern, replacement, latex)
    found = convert(latex, display=display)
    for pattern, replacement in MATHML:
        found = re.sub(pattern, replacement, found)
    return found


def visit_inline(writer, node) -> None:
    """Écrit une formule dans le texte."""
    writer.body.append(to_mathml(node.astext()))
    raise SkipNode


def visit_block(writer, node) -> None:
    """Écrit une formule sur sa ligne."""
    writer.body.append(f'<div class="formule">{to_mathml(node.astext(), "block")}</div>')
    raise SkipNode


def keep_punctuation(app, pagename, templatename, context, doctree) -> None:
    """Garde avec sa formule le signe qui la suit : un navigateur le mettrait volontiers à la ligne.

    >>> page = {"body": "<math>x</math> : <math>y</math>."}
    >>> keep_punctuation(None, "", "", page, None)
    >>> page["body"].count("<span")
    2
    """
    sign = r"(<math(?:(?!</math>).)*</math>\xa0?[:;!?.,)])"
    context["body"] = re.sub(sign, r'<span class="ensemble">\1</span>', context.get("body", ""), flags=re.DOTALL)


def setup(app) -> dict:
    """Donne à Sphinx ce moyen d'écrire les formules."""
    app.connect("html-page-context", keep_punctuation)
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
