"""Un fil de travail qui ne s'occupe que de la dernière demande."""

import atexit
import threading
from collections.abc import Callable
from functools import partial
from weakref import WeakMethod

PAUSE = 0.15  # secondes sans demande avant que le repos commence
Work = Callable[[object, Callable[[], bool]], None]


def weakly(action: Callable) -> Callable:
    """`action`, qui, si c'est une méthode, ne retient pas son objet, et ne fait rien une fois qu'il a disparu.

    >>> weakly(abs)(-3)
    3
    """
    if not hasattr(action, "__func__"):
        return action
    reference = WeakMethod(action)

    def call(*args) -> object:
        method = reference()
        return None if method is None else method(*args)

    return call


class LatestWorker:
    """Un fil démon qui appelle `work(request, stale)` sur la dernière demande reçue, et elle seule ; puis, si
    rien d'autre n'attend, `rest(request, stale)`, pour occuper le repos.

    Les deux doivent appeler `stale()` souvent, et s'arrêter dès que la réponse est vraie : une demande
    plus récente attend, ou le fil est fermé. `submit` ne fait que noter la demande ; elle peut
    être appelée de n'importe quel fil.

    >>> seen = []
    >>> worker = LatestWorker(lambda request, stale: seen.append(request))
    >>> worker.submit(0.1)
    >>> worker.wait()
    >>> worker.close()
    >>> seen
    [0.1]
    """

    def __init__(self, work: Work, rest: Work = lambda request, stale: None) -> None:
        self._tasks = weakly(work), weakly(rest)
        self._changed = threading.Condition()
        self._generation, self._done = 0, [0, 0]  # le numéro de la dernière demande, et ceux que chaque tâche a finis
        self._request: object = None
        self._error: Exception | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="toylib-explorer", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # Python ne doit pas finir pendant que torch calcule

    def submit(self, request: object) -> None:
        """Remplace la demande en cours par `request`, et rend la main aussitôt."""
        with self._changed:
            self._generation += 1
            self._request = request
            self._changed.notify_all()

    def wait(self, timeout: float | None = 60, *, rest: bool = False) -> None:
        """Attend que la dernière demande soit traitée, `timeout` secondes au plus ; et le repos aussi, si `rest`.

        Lève : `TimeoutError` passé ce délai ; l'erreur du travail, s'il a échoué ; `RuntimeError` si le fil est
        fermé et qu'une demande reste.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._done[rest] == self._generation, timeout):
                raise TimeoutError(f"L'explorateur n'a pas fini au bout de {timeout} s.")
            if self._error is not None:
                raise self._error
            if self._closed and self._done[0] != self._generation:
                raise RuntimeError("L'explorateur est fermé ; exécutez sa cellule de nouveau pour en avoir un neuf.")

    def close(self) -> None:
        """Arrête le travail en cours et le fil, pour de bon ; attend sa fin, une seconde au plus."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(1)
        atexit.unregister(self.close)

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._done[0] != self._generation)
                if self._closed:
                    return
                generation, request, self._error = self._generation, self._request, None
            stale = partial(self._stale, generation)
            for k, task in enumerate(self._tasks):
                try:
                    if self._error is None:
                        task(request, stale)
                except Exception as error:  # le fil doit survivre, et `wait` la rendra à l'appelant
                    self._error = error
                with self._changed:
                    self._done[k] = generation
                    self._changed.notify_all()
                    self._changed.wait_for(stale, PAUSE)

    def _stale(self, generation: int) -> bool:
        return self._closed or generation != self._generation
