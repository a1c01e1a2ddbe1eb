"""Le quiz d'une leçon : des questions à choix, à la souris ou au clavier, et l'explication de chaque réponse."""

import ipywidgets as widgets

from toylib.lessons.exercises import Verdict, questions, to_html


class Quiz(widgets.VBox):
    """Le quiz de la leçon "NN", écrit dans `questions/NN.toml`.

    Choisir une réponse affiche aussitôt son explication ; on peut en changer. La dernière ligne
    compte les bonnes réponses du premier coup.

    Lève : `ValueError` si la leçon n'a pas de quiz.

    >>> Quiz("01").score.value.startswith("Réponses données")
    True
    """

    def __init__(self, lesson: str) -> None:
        self.entries = questions(lesson)["quiz"]
        self.first: dict[int, bool] = {}
        self.score = widgets.HTML()
        boxes = [self._question(number, entry) for number, entry in enumerate(self.entries)]
        super().__init__([*boxes, self.score, widgets.HTML(_CSS)])
        self.add_class("toylib-quiz")
        self._count()

    def _question(self, number: int, entry: dict) -> widgets.VBox:
        """Une question, ses choix et la place de l'explication."""
        title = widgets.HTML(f'<div style="{_STYLE}"><b>{number + 1}. {to_html(entry["question"])}</b></div>')
        texts = [(choice["text"], k) for k, choice in enumerate(entry["choice"])]
        choices = widgets.RadioButtons(options=texts, value=None, layout={"width": "auto"})
        explanation = widgets.HTML()

        def answer(change):
            choice = entry["choice"][change["new"]]
            correct = choice.get("correct", False)
            explanation.value = Verdict(correct, choice["explanation"])._repr_html_()
            self.first.setdefault(number, correct)
            self._count()

        choices.observe(answer, names="value")
        return widgets.VBox([title, choices, explanation], layout={"margin": "0 0 12px 0"})

    def _count(self) -> None:
        """Met à jour le compte."""
        done, total = len(self.first), len(self.entries)
        self.score.value = f"Réponses données : {done} sur {total}."
        if done == total:
            self.score.value = f"<b>{sum(self.first.values())} sur {total} du premier coup.</b>"

    def _repr_mimebundle_(self, **kwargs) -> dict:
        """Sans noyau, les questions restent lisibles, sans les réponses."""
        bundle = super()._repr_mimebundle_(**kwargs)
        lines = [f"Quiz : exécutez la cellule pour répondre à ses {len(self.entries)} questions."]
        for number, entry in enumerate(self.entries):
            lines += ["", f"{number + 1}. {entry['question']}", *(f"   - {one['text']}" for one in entry["choice"])]
        bundle["text/plain"] = bundle["text/markdown"] = "\n".join(lines)
        return bundle


_STYLE = "font-size: 15px; line-height: 1.4; white-space: normal"
# De longs choix passent à la ligne, et se lisent du fond de la salle.
_CSS = f"<style>.toylib-quiz .widget-radio-box label {{{_STYLE}; height: auto}}</style>"
