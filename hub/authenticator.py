"""Qui entre dans le hub : les élèves de la liste, avec leur mot de passe, et personne d'autre.

NativeAuthenticator ne convient pas : son bcrypt arrête le hub, il ferme le compte d'un élève à qui un autre se trompe
à sa place, n'a pas de mot de passe à usage unique, et répond 500 au-delà de 72 octets.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from jupyterhub import orm
from jupyterhub.auth import Authenticator
from jupyterhub.handlers import BaseHandler, LoginHandler
from pupils import Refused, Roster, judge, name_of
from tornado import web
from traitlets import Instance

FREE, PAUSE, LONGEST_PAUSE = 5, 30, 600  # essais libres ; secondes d'attente ensuite, de plus en plus, jusqu'à tant
MOST = 10000  # personnes et adresses retenues à la fois ; au-delà, les essais les plus anciens sont oubliés


class Throttle:
    """Compte les mots de passe refusés, par élève et par adresse : se tromper pour un autre ne l'enferme pas."""

    def __init__(self, clock=time.monotonic) -> None:
        self._tries, self._clock = {}, clock

    def begin(self, key: tuple) -> None:
        """Compte un essai avant son issue, vingt à la fois ne passent donc pas ; lève `Refused` s'il est trop tôt."""
        now = self._clock()
        count, last = self._tries.get(key, (0, now))
        pause = min(PAUSE * 2 ** min(count - FREE, 10), LONGEST_PAUSE) if count >= FREE else 0
        if now - last < pause:
            raise Refused(f"Trop d'essais : attendez {1 + int(pause - (now - last))} secondes.")
        self._tries.pop(key, None)  # ce qui vient d'être essayé est le plus récent
        self._tries[key] = (count + 1, now)
        if len(self._tries) > MOST:
            del self._tries[next(iter(self._tries))]

    def succeed(self, key: tuple) -> None:
        """Le mot de passe était bon : on oublie les essais."""
        self._tries.pop(key, None)


def address_of(request) -> str:
    """L'adresse du navigateur ; une seule pour tout ce qui vient de la machine, car un carnet en a des millions.

    Le serveur d'un élève atteint aussi le hub sans le proxy, avec son certificat, et peut alors s'inventer une adresse.
    """
    address, certificate = request.remote_ip, request.get_ssl_certificate() or {}
    student = any(value.startswith("user-") for part in certificate.get("subject", ()) for _, value in part)
    here = student or address == "::1" or address.removeprefix("::ffff:").startswith("127.")
    return "127.0.0.1" if here else address


class Said(web.HTTPError):
    """Une réponse de la page de connexion ; `choose` : elle demande un nouveau mot de passe."""

    def __init__(self, message: str, choose: bool = False) -> None:
        super().__init__(403, message)
        self.choose = choose


class ClassAuthenticator(Authenticator):
    """Les élèves de `roster`. Nul n'administre depuis un navigateur, sauf `admin_users`, que la configuration tient."""

    roster = Instance(Roster).tag(config=True)
    throttle = Instance(Throttle, ())
    worker = Instance(ThreadPoolExecutor, kw={"max_workers": 1})  # une empreinte prend un cœur : jamais tous

    def normalize_username(self, username: str) -> str:
        """« Zoé » ou `zoe` : le même nom ; ce qui n'en fait pas un n'est à personne."""
        try:
            return name_of(username)
        except Refused:
            return username.lower()

    def validate_username(self, username: str) -> bool:
        """Vrai pour qui est sur la liste ; au démarrage du hub, `delete_invalid_users` oublie les autres."""
        return self.roster.find(username) is not None

    def check_allowed(self, username: str, authentication=None) -> bool:
        return self.validate_username(username)

    def is_admin(self, handler, authentication) -> bool:
        return authentication["name"] in self.admin_users

    async def refresh_user(self, user, handler=None) -> bool:
        """Faux pour qui a été retiré, ou doit choisir un mot de passe : ni son témoin ni ses jetons ne valent plus."""
        pupil = self.roster.find(user.name)
        return pupil is not None and not pupil.once

    async def authenticate(self, handler, data: dict) -> str:
        name = self.normalize_username(data.get("username", ""))
        key = (name, address_of(handler.request))
        try:
            self.throttle.begin(key)
        except Refused as refused:
            raise Said(str(refused)) from None
        password, new = data.get("password", ""), data.get("new", "")
        pupil = await self._aside(self.roster.check, name, password)
        if pupil is None:
            raise Said("Ce nom et ce mot de passe ne vont pas ensemble, ou ce nom n'est pas sur la liste.")
        self.throttle.succeed(key)
        if new or pupil.once:
            await self._choose(handler, name, password, new, data.get("again", ""))
        return name

    async def _choose(self, handler, name: str, old: str, new: str, again: str) -> None:
        """Change le mot de passe, et ferme ce que l'ancien avait ouvert ailleurs."""
        if not new:
            raise Said("C'est votre première connexion : choisissez votre mot de passe.", choose=True)
        try:
            judge(new, again, old)
        except Refused as refused:
            raise Said(str(refused), choose=True) from None
        await self._aside(self.roster.choose, name, new)
        if user := handler.find_user(name):
            user.orm_user.cookie_id = orm.new_token()
            for token in handler.db.query(orm.APIToken).filter_by(user_id=user.id):
                if token.session_id:
                    handler.db.delete(token)
            handler.db.commit()

    async def _aside(self, work, *arguments):
        """Fait `work` dans un autre fil : le hub répond pendant ce temps."""
        return await asyncio.get_running_loop().run_in_executor(self.worker, partial(work, *arguments))

    def get_handlers(self, app) -> list:
        closed = [(path, Closed) for path in ("/token", "/accept-share")]
        return [("/login", ClassLogin), ("/mot-de-passe", ChangePassword), *closed]


class ClassLogin(LoginHandler):
    """La page de connexion, où se choisit aussi le mot de passe."""

    def check_xsrf_cookie(self) -> None:
        try:
            BaseHandler.check_xsrf_cookie(self)
        except web.HTTPError:
            raise Said("Cette page était ouverte depuis trop longtemps : recommencez.") from None


class ChangePassword(LoginHandler):
    """La même page, pour qui est connecté et veut changer de mot de passe : l'ancien est demandé."""

    @web.authenticated
    async def get(self) -> None:
        self.finish(await self._render(username=self.current_user.name, exception=Said("", choose=True)))


class Closed(BaseHandler):
    """Une page de JupyterHub qu'aucun élève ne peut faire servir : il n'a ni jeton ni partage."""

    def get(self) -> None:
        raise web.HTTPError(404)
