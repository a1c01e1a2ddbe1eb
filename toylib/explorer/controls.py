"""Les commandes de l'explorateur : une liste de valeurs offre un choix, une valeur seule n'en offre pas."""

from collections.abc import Callable, Sequence
from contextlib import suppress

import ipywidgets as widgets

from toylib._checks import check_list, refusing, require, shown
from toylib.french import OPTIMIZER_NAMES, RULE_NAMES, SCHEDULE_NAMES, comma, percent

STYLE = {"description_width": "initial"}

# Nom de la commande, et texte d'une de ses valeurs ; dans l'ordre où elles se montrent.
FIELDS: dict[str, tuple[str, Callable]] = {
    "lr": ("Taux d'apprentissage", comma),
    "optimizer": ("Optimiseur", OPTIMIZER_NAMES.get),
    "rule": ("Règle", RULE_NAMES.get),
    "noise": ("Bruit", percent),
    "n": ("Échantillons", str),
    "hidden": ("Couches cachées", lambda widths: " + ".join(map(str, widths)) or "aucune"),
    "batch_size": ("Lot", lambda size: "complet" if size is None else str(size)),
    "schedule": ("Planification", SCHEDULE_NAMES.get),
    "epochs": ("Époques", str),
    "seed": ("Graine", str),
}
MOST = 1000  # valeurs, au plus, qu'une commande offre
NAMED = ("optimizer", "rule", "hidden", "batch_size", "schedule")  # un bouton par valeur, pas un curseur


def offered(field: str, value) -> list:
    """Les valeurs qu'un argument offre : les éléments d'une liste, ou la valeur seule.

    >>> offered("epochs", [30, 100]), offered("hidden", (16, 16)), offered("hidden", [(4,), (16, 16)])
    ([30, 100], [(16, 16)], [(4,), (16, 16)])
    """
    value = plain(value)
    several = isinstance(value, list | tuple | range)
    if field == "hidden":
        several = several and len(value) > 0 and all(isinstance(one, list | tuple) for one in value)
    values = value if several else [value]
    require(values, field, "offrir au moins une valeur", "une suite vide")
    require(not values[MOST:], field, f"offrir {MOST} valeurs au plus", shown(value))  # sans en compter 10**30
    return [plain(one) for one in values]


def plain(value) -> object:
    """`value`, ou les nombres que porte un tableau ou un tenseur ; une liste devient un tuple.

    >>> import numpy as np
    >>> plain(np.array(3)), plain([4, 4]), plain("adam")
    (3, (4, 4), 'adam')
    """
    with suppress(Exception):  # ce qui n'est pas un tableau, un tenseur « meta » qui n'a pas de valeur
        value = value.tolist()
    return tuple(value) if isinstance(value, list) else value


def same(one: object, other: object) -> bool:
    """Vrai pour deux valeurs égales ; mais vrai et faux ne sont pas 1 et 0.

    >>> same(16, 16.0), same((1, 2), (True, 2))
    (True, False)
    """
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    with suppress(Exception):  # ce qui ne se compare pas : un tenseur « meta », un tableau
        return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
    return False


def check_different(name: str, values: Sequence) -> None:
    """Lève `ValueError` si deux des valeurs de `values` sont égales.

    >>> check_different("seed", [0, 1])
    """
    keys = [(isinstance(one, bool), one) for one in values]
    with suppress(TypeError):  # des valeurs qu'un ensemble ne prend pas
        require(len(set(keys)) == len(keys), name, "être fait de valeurs différentes", shown(values))


def check_offered(name: str, value: object, values: Sequence) -> int:
    """Le rang, dans `values`, de la valeur que `value` égale.

    >>> check_offered("lr", 2.0, [1, 2, 3])
    1
    """
    value = plain(value)
    places = [k for k, one in enumerate(values) if same(one, value)]
    require(places, name, f"être l'une des valeurs offertes : {shown(values)}", shown(value))
    return places[0]


def make_control(field: str, values: Sequence, value) -> widgets.Widget:
    """La commande de `field` : un curseur, ou un bouton par valeur, dont les textes sont en français.

    Pas de liste déroulante : JupyterLab y prend les flèches du clavier pour lui.
    """
    name, text = FIELDS[field]
    if field in NAMED:
        return make_choice(name, {text(one): one for one in values}, value)
    return make_slider(name, values, value, text, width="560px" if field == "lr" else "300px")


def make_slider(name: str, values: Sequence, value, text: Callable = comma, width: str = "560px") -> widgets.Widget:
    """Un curseur sur `values`, que `text` écrit ; une flèche du clavier avance d'un cran."""
    values = check_list("values", values, "une suite de valeurs")
    place = _check_start("values", values, value)
    with refusing("text", "écrire chacune des valeurs"):
        options = [(text(one), one) for one in values]
    return widgets.SelectionSlider(options=options, index=place, description=name, style=STYLE, layout={"width": width})


def make_choice(name: str, options: dict[str, object], value) -> widgets.Widget:
    """Un bouton par valeur, sous son nom."""
    require(isinstance(options, dict), "options", "être un dictionnaire, une valeur par nom", shown(options), TypeError)
    style, values = {**STYLE, "button_width": "auto"}, list(options.values())
    place = _check_start("options", values, value)  # le rang, car ipywidgets prend la valeur None pour aucun choix
    choice = widgets.ToggleButtons(options=list(options.items()), index=place, description=name, style=style)
    if None in values:  # et lui rend ce rang, quand on lui donne None
        choice.observe(lambda change: choice.set_trait("index", values.index(choice.value)), names="index")
    return choice


def _check_start(name: str, values: Sequence, value: object) -> int:
    """Le rang de `value`, par où une commande commence, dans ce qu'elle offre."""
    check_different(name, values)
    return check_offered("value", value, values)


def make_button(text: str, icon: str, action: Callable[[], None]) -> widgets.Button:
    """Un bouton, qui appelle `action` sans argument."""
    button = widgets.Button(description=text, icon=icon, layout={"width": "auto"})
    button.on_click(lambda _: action())
    return button
