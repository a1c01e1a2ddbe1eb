"""L'explorateur : bouger le taux d'apprentissage réentraîne le réseau et redessine ses courbes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import ipywidgets as widgets
import traitlets

from toylib._checks import check_file, check_flags
from toylib.explorer.controls import make_button, make_control, offered
from toylib.explorer.live import Demo, assign, offer_of
from toylib.explorer.page import KINDS, write_page
from toylib.explorer.runs import CACHE, LR_GRID, PAGE, Config, Run, Runs
from toylib.explorer.settings import check_challenge, check_first, check_points, check_views, snap
from toylib.explorer.static import caption, describe, draw_views, three_rates
from toylib.explorer.texts import fate_of, labels_of, status_of
from toylib.explorer.views import PINS, Scene, make_panels
from toylib.french import OPTIMIZER_NAMES
from toylib.training import History

STILL = 30  # époques, au plus, de l'image qui reste dans un carnet : guère plus que le temps de la dessiner


class LrExplorer(Demo):
    """Un curseur sur le taux d'apprentissage : à chaque cran, le réseau est réentraîné et ses
    courbes redessinées, depuis les mêmes poids initiaux et les mêmes données.

    Arguments :
        lr : taux de départ ; comme `explorer.lr`, il prend la valeur la plus proche de `LR_GRID`.
        optimizer : "adam", "sgd" ou "momentum" ; la liste est toujours offerte.
        n, rule, noise : les données, comme pour `gendata` (2 entrées) ; par défaut 500, "sum" et 0.
        data : vos données à leur place, un couple (X, y) : entrées (n, d), classes en indices ou one-hot ; listes,
            tableaux, tenseurs ou tables. Des entrées d'échelles très différentes n'apprennent souvent pas : divisez
            chacune par son écart-type, une fois sa moyenne retranchée. La ligne d'état dit si un écart-type est cent
            fois plus grand qu'un autre.
        hidden : largeurs des couches cachées, comme pour `Net`.
        epochs, batch_size : comme pour `train` ; schedule aussi, par son nom.
        seed : graine des données, des poids et des mélanges.
            Chacun de ces arguments, de n à seed, peut être une liste : une commande offre alors ses valeurs, à
            partir de la première (pour hidden, une liste de suites de largeurs).
        valid : nombre d'échantillons de validation, tirés d'une autre graine ; 0, pas de validation. Avec `data`,
            un couple (X, y) lui aussi.
        views : les vues, parmi `"curves"` (perte et exactitude), `"boundary"` (la frontière dans le plan, à
            l'époque qu'un curseur choisit, s'il y a deux entrées) et `"u"` (la perte finale selon le taux).
        pin, restart, stop : vrai pour montrer les boutons qui épinglent une courbe, qui ramènent tout au
            départ, qui arrêtent le calcul.
        challenge : (exactitude, époques) à atteindre ; une ligne dit si c'est fait.
        projector : vrai pour de grands caractères.
        cache : faux pour ne rien retenir, ni rien calculer d'avance.

    `explorer.history` est la dernière courbe achevée, `explorer.status` la ligne d'état, en texte.

    Lève : `ValueError` ou `TypeError` pour un argument qui ne convient pas.

    >>> explorer = LrExplorer(epochs=5, n=50)
    >>> explorer.lr = 0.1
    >>> explorer.wait()
    >>> explorer.status[:6]
    'lr 0,1'
    >>> explorer.close()
    """

    _run: Run | None = None
    _last: dict | None = None  # l'image de `_run`
    _backgrounds: Sequence = ()

    def __init__(
        self,
        lr: float = 0.01,
        *,
        optimizer: str = "adam",
        n: int | Sequence[int] | None = None,
        rule: str | Sequence[str] | None = None,
        noise: float | Sequence[float] | None = None,
        data: tuple | None = None,
        hidden: Sequence = (16, 16),
        epochs: int | Sequence[int] = 100,
        batch_size: int | None | Sequence = None,
        schedule: str | Sequence[str] = "constant",
        seed: int | Sequence[int] = 0,
        valid: int | tuple = 0,
        views: Sequence[str] = ("curves",),
        pin: bool = False,
        restart: bool = False,
        stop: bool = False,
        challenge: tuple[float, int] | None = None,
        projector: bool = False,
        cache: bool = True,
    ) -> None:
        check_flags(pin=pin, restart=restart, stop=stop, projector=projector, cache=cache)
        given, points = check_points(data, valid, {"n": n, "rule": rule, "noise": noise})
        valid = 0 if given else valid
        fields = {**points, "hidden": hidden, "epochs": epochs}
        fields |= {"batch_size": batch_size, "schedule": schedule, "seed": seed}
        choices = {field: offered(field, value) for field, value in fields.items()}
        views = check_views(views, given)
        self._runs = Runs(valid, "boundary" in views, CACHE if cache else 0)
        self._first = check_first(lr, optimizer, choices, given, self._runs)
        font, status = (19, 30) if projector else (13, 20)
        self._views, self._panels = views, make_panels(views, font)
        kept = tuple(view for view in views if view != "boundary") or ("curves",)
        self._asked = {"valid": valid, "views": kept, "challenge": check_challenge(challenge), "projector": projector}
        rows = self._build(choices, "boundary" in views, pin, restart, stop)
        self._reset(self._first)
        self._start(rows, *(panel.figure for panel in self._panels), font=font, status=status)

    # --- Les commandes

    def _build(self, choices: dict, boundary: bool, pin: bool, restart: bool, stop: bool) -> list[list]:
        """Les commandes, en rangées."""
        offers = {"lr": LR_GRID, "optimizer": list(OPTIMIZER_NAMES), **choices}
        self._controls = {
            field: make_control(field, values, getattr(self._first, field))
            for field, values in offers.items()
            if len(values) > 1
        }
        slider, *others = self._controls.values()
        rows = [[slider, *self._steps()], others, self._buttons(pin, restart, stop)]
        self._epoch = widgets.IntSlider(value=self._first.epochs, max=self._first.epochs, description="À l'époque")
        # C'est la vue de Play qui bat la mesure : cachée, mais dans la page.
        self._play = widgets.Play(value=self._first.epochs, max=self._first.epochs, layout={"display": "none"})
        self._unshown = [self._epoch, self._play]
        self.controls = dict(self._controls)
        if boundary:
            rows.append(self._player())
            self.controls["epoch"] = self._epoch
        if "epochs" in self._controls:
            self._controls["epochs"].observe(self._follow, names="value")
        return rows

    def _steps(self) -> list[widgets.Button]:
        """Un cran de taux à gauche, à droite : pour un écran tactile, et pour `Notebook 7`, qui garde les flèches."""

        def move(by: int) -> None:
            self.lr *= 10 ** (by / 10)  # au bout, le taux le plus proche reste le même

        return [make_button("Plus petit", "", lambda: move(-1)), make_button("Plus grand", "", lambda: move(1))]

    def _buttons(self, pin: bool, restart: bool, stop: bool) -> list[widgets.Button]:
        """Les boutons demandés."""
        wanted = (
            (pin, "Épingler la courbe", "thumb-tack", self.pin_curve),
            (pin, "Retirer les épingles", "", self.clear_pins),
            (restart, "Recommencer", "undo", self.restart),
            (stop, "Arrêter", "stop", self.stop),
        )
        return [make_button(*rest) for shown, *rest in wanted if shown]

    def _player(self) -> list[widgets.Widget]:
        """Le curseur d'époque de la frontière, et de quoi le faire avancer : lecture, pause, pas à pas."""
        self._unshown.append(widgets.jslink((self._play, "value"), (self._epoch, "value")))
        play = make_button("Lire", "play", self._toggle_play)
        traitlets.dlink((self._play, "playing"), (play, "description"), lambda playing: "Pause" if playing else "Lire")
        traitlets.dlink((self._play, "playing"), (play, "icon"), lambda playing: "pause" if playing else "play")
        return [self._epoch, self._play, play, make_button("Époque suivante", "step-forward", self._step)]

    def _toggle_play(self) -> None:
        """Lecture ou pause ; à la dernière époque, la lecture repart de la première."""
        if not self._play.playing and self._epoch.value == self._epoch.max:
            self._epoch.value = 0
        self._play.playing = not self._play.playing

    def _step(self) -> None:
        self._play.playing = False
        self._epoch.value = min(self._epoch.value + 1, self._epoch.max)

    @property
    def lr(self) -> float:
        """Le taux du curseur ; une affectation prend le cran le plus proche et réentraîne."""
        return self._controls["lr"].value

    @lr.setter
    def lr(self, value: float) -> None:
        self.set(lr=value)

    @property
    def optimizer(self) -> str:
        """Le nom de l'optimiseur ; une affectation réentraîne."""
        return self._controls["optimizer"].value

    @optimizer.setter
    def optimizer(self, value: str) -> None:
        self.set(optimizer=value)

    def set(self, **values) -> None:
        """Donne leur valeur à des commandes, comme à la main : `explorer.set(rule="xor", epochs=300)`.

        lr prend la valeur la plus proche de `LR_GRID` ; `epoch` est l'époque où l'on regarde la frontière.

        Lève : `ValueError` ou `TypeError` pour une commande absente ou une valeur qu'elle n'offre pas ; rien ne bouge
        alors.
        """
        if "lr" in values:
            values["lr"] = snap(values["lr"])
        # L'époque que l'on regarde vient en dernier : epochs dit jusqu'où elle va.
        assign({**self._controls, "epoch": self._epoch}, values, epoch="epochs")

    def restart(self) -> None:
        """Ramène toutes les commandes à leur valeur de départ, et retire les épingles."""
        self.set(**{field: getattr(self._first, field) for field in self._controls}, epoch=self._first.epochs)
        self.clear_pins()

    def stop(self) -> None:
        """Arrête l'entraînement en cours, s'il y en a un ; bouger une commande le fait reprendre."""
        self._play.playing = False
        super().stop()

    def save(self, path: str | Path) -> None:
        """Écrit une page à ouvrir sans noyau ni réseau : les courbes et la courbe en U, selon le taux et l'optimiseur.

        Les autres commandes y gardent leur valeur du moment ; la frontière, qui n'y tiendrait pas, n'y est pas.

        Lève : `TypeError` ou `ValueError` si `path` ne convient pas, ou si la page dépasse 400 ko.
        """
        path, config = check_file("path", path, KINDS), self._config(self._request())
        settings = {**config._asdict(), **self._asked}
        settings["data"] = settings.pop("given")
        with closing(LrExplorer(**settings)) as twin:
            twin._runs.room = PAGE
            controls, frames = twin.controls.values(), {}
            start, choices = [one.index for one in controls], [[text for text, _ in one.options] for one in controls]
            for twin.optimizer in OPTIMIZER_NAMES:
                twin.wait(None, rest=True)
                frames |= {f["key"]: {**f, "status": f["status"].rpartition(" · ")[0]} for f in twin.stage.recall}
            if len(frames) < len(LR_GRID) * len(OPTIMIZER_NAMES):
                raise ValueError("La page demanderait trop de mémoire. Choisissez moins d'époques.")
            write_page(path, twin.stage, [*frames.values()], choices=choices, start=start, caption=caption(config))

    def pin_curve(self) -> None:
        """Épingle la dernière courbe achevée ; au-delà de trois, la plus ancienne s'en va."""
        if self._last is not None:
            kept = [pin for pin in self.stage.pins if pin["name"] != self._last["name"]]
            self.stage.pins = [*kept, self._last][-PINS:]

    def clear_pins(self) -> None:
        """Retire toutes les épingles."""
        self.stage.pins = []

    def _follow(self, change: dict) -> None:
        """Le curseur d'époque va jusqu'à la dernière, et y reste s'il y était."""
        last = self._epoch.value == self._epoch.max
        self._epoch.max = self._play.max = change["new"]
        if last:
            self._epoch.value = change["new"]

    # --- Ce qu'il montre

    @property
    def history(self) -> History | None:
        """Les courbes du dernier entraînement achevé ; None avant le premier."""
        return None if self._run is None else self._run.history

    def _config(self, values: dict) -> Config:
        """Ce que l'on demande d'entraîner quand les commandes ont ces valeurs."""
        return self._first._replace(**{field: values[field] for field in self._controls})

    def _states(self, **values) -> Iterator[Run]:
        """L'entraînement que l'on a déjà, ou ce qu'il est à mesure qu'il se fait."""
        config = self._config(values)
        same = self._run is not None and self._run.config == config
        run = self._run if same else self._runs.recall(config)
        return self._runs.train(config) if run is None else iter([run])

    def _rest(self, values: dict | None, stale: Callable[[], bool]) -> None:
        """Au repos : calcule d'avance les autres taux, et donne au navigateur de quoi les peindre tous."""
        if values is None or self.stage.known(self._key(values)):
            return
        added, frames = self._runs.fill(self._config(values), stale), []
        for lr in LR_GRID:
            run = self._runs.recall(self._config({**values, "lr": lr}))
            if run is None or stale():
                if added and not stale():
                    self._paint(self._run, values)  # la courbe en U s'est complétée
                return
            frames.append(self._frame(run, {**values, "lr": lr}))
        self.stage.recall = frames

    def _key(self, values: dict) -> str:
        """Le rang de chaque valeur, dans l'ordre où le navigateur lit les commandes."""
        places = {name: offer_of(control).index(values[name]) for name, control in self._controls.items()}
        return ",".join(map(str, (values | places).values()))

    def _reset(self, config: Config) -> bool:
        """Refait le fond des panneaux qui en changent ; rend vrai s'il y en a."""
        backgrounds = [panel.key(config) for panel in self._panels]
        if backgrounds == self._backgrounds:
            return False
        self._backgrounds = backgrounds
        for panel in self._panels:
            panel.reset(config)
        return True

    def _paint(self, run: Run, values: dict) -> None:
        """Montre `run`, à moins que le navigateur ne l'ait déjà fait."""
        with self.stage.hold_sync():
            if self._reset(run.config):
                self.stage.recall = []  # leurs axes ne sont plus ceux que l'on voit
                self.stage.redraw()
            frame = self.stage.known(self._key(values))
            if frame is None:
                frame = self._frame(run, values)
                self.stage.send_frame(**frame)
        if run.reached == run.config.epochs:
            self._run, self._last, self.status = run, frame, status_of(run)

    def _frame(self, run: Run, values: dict) -> dict:
        """Ce que le navigateur doit savoir d'un entraînement pour le peindre ; voir `stage.js`."""
        finals = self._runs.finals(run.config) if "u" in self._views else None
        for panel in self._panels:
            panel.draw(Scene(run, finals, values.get("epoch", 0)))
        return {
            "parts": self.stage.parts(),
            "key": self._key(values),
            "name": self._key({**values, "epoch": 0}),
            "done": run.reached == run.config.epochs,
            "span": max(run.config.epochs, 1),
            "labels": labels_of(run.config),
            "status": status_of(run),
            "challenge": fate_of(run, self._asked["challenge"]),
        }

    # --- Sans noyau

    def _still(self) -> tuple[str, bytes]:
        """Les vues demandées, à trois taux, trop petit, bon, trop grand, en `STILL` époques au plus."""
        config = self._first._replace(optimizer=self.optimizer, epochs=min(self._first.epochs, STILL))
        result = self._runs.rehearse(config, LR_GRID[20::10])
        rates = three_rates(result)
        return describe(rates, config), draw_views(self._views, config, result, rates)
