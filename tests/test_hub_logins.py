"""Un vrai hub, sans proxy ni systemd : qui y entre, qui n'y entre plus, et ce que l'élève y lit."""

import contextlib
import http.cookiejar
import os
import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
from french import CODE, COURSE, unknown_words
from small_hub import open_folder, settings

pytest.importorskip("jupyterhub")
pytest.importorskip("systemdspawner")
if sys.platform != "linux" or os.geteuid() != 0:
    pytest.skip("Donner un compte à un élève demande Linux et root.", allow_module_level=True)
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "hub"))
from pupils import Roster

pytestmark = pytest.mark.lent
ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "hub" / "jupyterhub_config.py"
# Le hub, sans proxy : les essais parlent à son port, avec le certificat de ses propres composants.
WITHOUT_PROXY = """
import sys
from jupyterhub.proxy import Proxy
true = sys.executable, sys.prefix
sys.executable, sys.prefix = "/bin/sh", {folder!r}  # Python est parfois chez root
load_subconfig({config!r})
sys.executable, sys.prefix = true
class NoProxy(Proxy):
    should_start = False
    async def add_route(self, routespec, target, data): pass
    async def delete_route(self, routespec): pass
    async def get_all_routes(self): return {{}}
c.JupyterHub.proxy_class, c.JupyterHub.services = NoProxy, c.JupyterHub.services[1:]
c.Authenticator.auth_refresh_age = 1
c.JupyterHub.load_roles = c.JupyterHub.load_roles[1:]
c.JupyterHub.bind_url = "https://127.0.0.1:{port}"
"""


class Browser:
    """Un navigateur sans écran, à une adresse donnée."""

    def __init__(self, hub, address="10.0.0.1"):
        self.hub, self.jar = hub, http.cookiejar.CookieJar()
        handlers = [urllib.request.HTTPSHandler(context=hub.context), urllib.request.HTTPCookieProcessor(self.jar)]
        self._opener = urllib.request.build_opener(*handlers)
        self._opener.addheaders = [("X-Forwarded-For", address), ("Sec-Fetch-Mode", "navigate")]

    def ask(self, path, form=None, method=None, **headers):
        """La réponse du hub : son code, son adresse finale, son texte."""
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        request = urllib.request.Request(f"{self.hub.url}{path}", data, headers, method=method)
        try:
            with self._opener.open(request, timeout=60) as answer:
                return answer.status, answer.url, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.url, error.read().decode()

    def proof(self, path="/hub/login"):
        """La preuve XSRF que porte une page."""
        return re.search(r'xsrf_token: "([^"]+)"', self.ask(path)[2])[1]

    def login(self, name, password, new="", again=None):
        """Remplit le formulaire ; rend le code et ce qu'il dit."""
        form = {"_xsrf": self.proof(), "username": name, "password": password}
        form |= {"new": new, "again": new if again is None else again} if new else {}
        code, url, text = self.ask("/hub/login", form)
        said = re.search(r'class="login_error"[^>]*>([^<]*)', text)
        return code, said[1].replace("&#39;", "'") if said else url

    def is_in(self):
        return "Ouvrir JupyterLab" in self.ask("/hub/home")[2]


@pytest.fixture(scope="module")
def hub():
    """Un hub et sa commande `classe`."""
    with open_folder() as folder, contextlib.ExitStack() as stack:
        data, port = folder / "vrai", free_port()
        data.mkdir()
        config, log = folder / "config.py", stack.enter_context((folder / "hub.log").open("w"))
        config.write_text(WITHOUT_PROXY.format(config=str(CONFIG), folder=str(folder), port=free_port()), "utf-8")
        environment = {**os.environ, **settings(folder, data, HUB_PORT=port, HUB_UID=50000)}
        run = {"env": environment, "capture_output": True, "encoding": "utf-8", "check": True}
        command = [sys.executable, "-m", "jupyterhub", "-f", config]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        stack.callback(lambda: process.terminate() or process.wait(30))
        found = SimpleNamespace(url=f"https://127.0.0.1:{port}", data=data)
        classe = [sys.executable, str(ROOT / "hub" / "classe.py")]
        found.command = lambda *words: subprocess.run([*classe, *words], **run).stdout
        found.context = wait_for(found.url, data / "hub" / "internal-ssl", process, folder / "hub.log")
        yield found


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def wait_for(url, certificates, process, log):
    """Attend que le hub réponde ; rend de quoi lui parler."""
    own = certificates / "hub-internal" / "hub-internal.crt"
    for _ in range(600):
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            context = ssl.create_default_context(cafile=certificates / "hub-ca_trust.crt")
            context.load_cert_chain(own, own.with_suffix(".key"))
            urllib.request.urlopen(f"{url}/hub/health", context=context).close()
            return context
        except OSError:
            time.sleep(0.1)
    raise AssertionError("Le hub ne répond pas.")


def first_passwords(said):
    """Ce que « classe ajouter » donne : le premier mot de passe de chacun."""
    return dict(line.split()[:2] for line in said.splitlines()[1:])


def enter(hub, name, password="à moi seule"):
    """Ajoute `name` et le connecte ; rend son navigateur."""
    first = first_passwords(hub.command("ajouter", name))[name]
    browser = Browser(hub)
    assert browser.login(name, first, password)[0] != 403
    return browser


def test_nobody_enters_an_empty_list_nor_before_being_on_it(hub):
    early = Browser(hub, "10.0.1.1")
    code, said = early.login("lea", "choisi d'avance")
    assert (code, "pas sur la liste" in said) == (403, True)
    first = first_passwords(hub.command("ajouter", "Léa"))["lea"]
    assert early.login("lea", "choisi d'avance")[0] == 403
    assert Browser(hub).login("Léa", first, "à moi seule")[0] != 403


def test_the_first_password_opens_nothing_but_the_choice_of_another(hub):
    first = first_passwords(hub.command("ajouter", "alice"))["alice"]
    browser = Browser(hub)
    code, said = browser.login("alice", first)
    assert (code, said) == (403, "C'est votre première connexion\u00a0: choisissez votre mot de passe.")
    assert not browser.is_in()
    assert "diffèrent" in browser.login("alice", first, "à moi seule", "à toi seule")[1]
    assert "7 caractères" in browser.login("alice", first, "1234567")[1]
    assert "l'ancien" in browser.login("alice", first, first)[1]
    assert browser.login("Alice", first, "à moi seule")[0] != 403
    assert browser.is_in()
    assert Browser(hub, "10.0.0.9").login("alice", first)[0] == 403
    assert Browser(hub, "10.0.0.8").login("alice", "à moi seule")[0] != 403


def test_changing_a_password_asks_for_the_old_one_and_closes_the_other_browsers(hub):
    browser = enter(hub, "bruno")
    other = Browser(hub, "10.0.0.7")
    other.login("bruno", "à moi seule")
    assert "Nouveau mot de passe" in browser.ask("/hub/mot-de-passe")[2]
    assert browser.login("bruno", "deviné", "à l'intrus")[0] == 403
    assert (browser.is_in(), other.is_in()) == (True, True)
    proof = browser.proof("/hub/mot-de-passe")
    form = {"_xsrf": proof, "username": "bruno", "password": "à moi seule", "new": "x" * 100, "again": "x" * 100}
    browser.ask("/hub/login", form)
    assert (browser.is_in(), other.is_in()) == (True, False)
    assert Browser(hub, "10.0.0.6").login("bruno", "x" * 100)[0] != 403
    assert "de 8 à 256" in Browser(hub, "10.0.0.6").login("bruno", "x" * 100, "y" * 300)[1]


def test_whoever_is_removed_is_forgotten_at_once(hub):
    browser = enter(hub, "chloe")
    assert "fermés" in hub.command("retirer", "chloe")
    assert not browser.is_in()
    assert browser.login("chloe", "à moi seule")[0] == 403
    assert "pas connecté" in hub.command("ajouter", "dora") + hub.command("retirer", "dora")


def test_a_removal_that_the_hub_did_not_hear_counts_too(hub):
    """Par exemple sa liste rendue d'une sauvegarde : le hub relit la liste de lui-même."""
    browser = enter(hub, "emile")
    Roster(hub.data).remove("emile")
    time.sleep(1.2)
    assert not browser.is_in()


def test_a_new_first_password_closes_what_the_old_one_opened(hub):
    browser = enter(hub, "fanny")
    first = hub.command("mot-de-passe", "fanny").splitlines()[1].split()[1]
    assert not browser.is_in()
    assert Browser(hub).login("fanny", "à moi seule")[0] == 403
    assert Browser(hub).login("fanny", first, "encore à moi")[0] != 403


def test_the_sixth_password_tried_waits_and_the_owner_still_enters(hub):
    enter(hub, "gilles")
    thief = Browser(hub, "10.9.9.9")
    said = [thief.login("gilles", f"essai {k}")[1] for k in range(6)]
    assert [text.startswith("Trop d'essais") for text in said] == [False] * 5 + [True]
    assert thief.login("gilles", "à moi seule")[0] == 403
    assert Browser(hub, "10.0.0.5").login("gilles", "à moi seule")[0] != 403


def test_a_student_has_neither_token_nor_administration(hub):
    browser = enter(hub, "hugo")
    proof = {"X-XSRFToken": browser.proof("/hub/home")}
    assert browser.ask("/hub/api/user", **proof)[0] == 200
    codes = [browser.ask(f"/hub/api/users/hugo/{what}", {}, **proof)[0] for what in ("tokens", "shares")]
    codes += [browser.ask(path)[0] for path in ("/hub/token", "/hub/accept-share?code=x")]
    assert {*codes, browser.ask("/hub/admin")[0], browser.ask("/hub/api/users", **proof)[0]} <= {403, 404}
    assert browser.ask("/hub/api/users/hugo", method="DELETE", **proof)[0] == 403


def test_a_form_without_proof_is_refused_in_french(hub):
    code, _, text = Browser(hub).ask("/hub/login", {"username": "alice", "password": "x"})
    assert (code, "recommencez" in text) == (403, True)


def test_the_pages_are_in_french(hub, hunspell):
    browser = enter(hub, "iris")
    pages = [Browser(hub).ask("/hub/login")[2]]
    paths = ("/hub/home", "/hub/mot-de-passe", "/hub/rien", "/hub/admin", "/hub/token", "/hub/accept-share?code=x")
    pages += [browser.ask(path)[2] for path in (*paths, "/hub/error/503", "/hub/user/iris/lab", "/hub/logout")]
    hidden = r"<script.*?</script>|<style.*?</style>|<div id=\"noscript.*?</div>|<div class=\"modal.*|<[^>]*>|&nbsp;"
    for page in pages:
        assert unknown_words(re.sub(hidden, " ", page, flags=re.S), COURSE | CODE | {"iris"}) == set()
