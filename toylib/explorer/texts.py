"""Ce que l'explorateur dit en mots d'un entraînement."""

from toylib.explorer.controls import FIELDS
from toylib.explorer.runs import Config, Run
from toylib.explorer.settings import POINTS
from toylib.french import OPTIMIZER_NAMES, comma, counted, percent

WIDE = 100  # rapport de deux écarts-types d'entrées à partir duquel la ligne d'état le dit


def status_of(run: Run) -> str:
    """La ligne d'état d'un entraînement : tout ce que l'image montre, en texte."""
    history = run.history
    words = [f"lr {comma(run.config.lr)}", _score(history.loss[-1], history.accuracy[-1])]
    if history.valid_loss is not None:
        words.append(f"validation : {_score(history.valid_loss[-1], history.valid_accuracy[-1])}")
    diverged = history.diverges_at()
    if diverged is not None:
        words.append(f"diverge à l'époque {diverged}")
    if run.reached < run.config.epochs:
        words.append(f"époque {run.reached} sur {run.config.epochs}")
    if run.config.given and run.config.given.spread >= WIDE:
        words.append(f"entrées d'échelles très différentes (rapport {comma(run.config.given.spread, 2)})")
    words.append("déjà calculé" if run.seconds is None else f"{round(1000 * run.seconds)} ms")
    return " · ".join(words)


def _score(loss: float, accuracy: float) -> str:
    return f"perte {comma(loss, 2)} · exactitude {percent(accuracy)}"


def labels_of(config: Config) -> dict[str, str]:
    """Ce qui peut distinguer un entraînement d'un autre, en mots."""
    others = {
        field: f"{name.lower()} {text(getattr(config, field))}"
        for field, (name, text) in FIELDS.items()
        if field not in POINTS or not config.given
    }
    return others | {"lr": f"lr {comma(config.lr)}", "optimizer": OPTIMIZER_NAMES[config.optimizer]}


def fate_of(run: Run, challenge: tuple[float, int] | None) -> tuple[bool, str] | None:
    """Le défi d'une exactitude en tant d'époques : s'il est relevé, et ce qui s'en dit."""
    if challenge is None:
        return None
    accuracy, epochs = challenge
    reached = run.history.epochs_to(accuracy)
    met = reached is not None and reached <= epochs
    fate = f"✓ relevé à l'époque {reached}" if met else "pas encore relevé"
    return met, f"Défi : exactitude ≥ {percent(accuracy)} en {counted(epochs, 'époque')} au plus · {fate}"
