"""Ce qu'un élève essaie contre le hub d'une classe, et ce qui peut lui arriver : chaque attaque, refaite pour de bon.

sudo /opt/hub/bin/python tests/bench/attaques.py            sur une machine où hub/installer.py a été lancé
sudo python3 tests/bench/attaques.py --machine DOSSIER      sur une autre : en fait une dans DOSSIER, avec debootstrap
                                                            et systemd-nspawn, y installe le hub et y recommence

Les attaquants ont un nom de trois lettres qui finit par « q » ; ils sont retirés à la fin. Une ligne par attaque : ce
qu'il en était avant que le hub ne soit fait d'unités de systemd, et ce qu'il en est. systemd-nspawn ne fait pas
respecter les bornes de mémoire, de processeur et de tâches : là, on lit celles de l'unité, et la ligne le dit.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
HOMES, STATE, URL = Path("/srv/toylib/eleves"), Path("/srv/toylib/hub"), "http://localhost:8000"
with contextlib.suppress(ImportError):  # le Python qui fait la machine n'en a pas, et s'en passe
    import aiohttp
    from classe import Student
NAMES = ("aaq", "bbq", "ccq", "ddq")
LISTEN = """
import http.server, ssl, threading
class Trap(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200), self.end_headers(), self.wfile.write(b"PIEGE")
server = http.server.HTTPServer(({address!r}, {port}), Trap)
if {secure}:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain({folder!r} + "/certfile", {folder!r} + "/keyfile")
    server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("écoute")
"""

BOMB = """
import os, signal, time
born = []
try:
    while len(born) < 2000:
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        born.append(child)
except OSError as error:
    print(type(error).__name__, "après", len(born))
for child in born:
    os.kill(child, signal.SIGKILL), os.waitpid(child, 0)
"""


# Ce que la machine d'essai prend à celle-ci : les certificats du réseau, et les paquets mis de côté pour pip.
LENT = ("/etc/ssl/certs/ca-certificates.crt", *os.environ.get("PIP_FIND_LINKS", "").split())


class Attack(NamedTuple):
    """Une ligne du tableau : `work` rend si elle est tenue (« dit » : la page dit que non ; « lu » : sur l'unité)."""

    name: str
    before: str
    work: Callable[["Hall"], Awaitable[tuple[bool | str, str]]]


ATTACKS: list[Attack] = []


def attack(name: str, before: str) -> Callable:
    """Met une attaque au tableau."""

    def record(work: Callable) -> Callable:
        ATTACKS.append(Attack(name, before, work))
        return work

    return record


def sh(*words: str, check: bool = True) -> str:
    """Ce qu'écrit une commande de root."""
    return subprocess.run(words, check=check, capture_output=True, encoding="utf-8").stdout.strip()


def passwords(said: str) -> dict[str, str]:
    """Les premiers mots de passe que donne la commande `classe`."""
    return dict(line.split()[:2] for line in said.splitlines()[1:])


def unit(name: str) -> str:
    return f"jupyter-{name}-singleuser.service"


def uid(name: str) -> int:
    return (HOMES / name).stat().st_uid


def processes(name: str) -> list[int]:
    """Les processus d'un élève, d'où qu'ils viennent."""
    return [int(one.name) for one in Path("/proc").glob("[0-9]*") if one.exists() and one.stat().st_uid == uid(name)]


def bounded(name: str) -> bool:
    """Vrai si le noyau fait respecter les bornes de l'unité : son groupe a un fichier qui compte la mémoire."""
    group = sh("systemctl", "show", "-P", "ControlGroup", unit(name))
    found = (f"/sys/fs/cgroup{group}/memory.max", f"/sys/fs/cgroup/memory{group}/memory.limit_in_bytes")
    return any(map(os.path.exists, found))


def bounds(name: str) -> str:
    """Les bornes de l'unité, et si le noyau les fait respecter ici."""
    kinds = ("MemoryMax", "MemorySwapMax", "CPUQuotaPerSecUSec", "TasksMax", "Slice")
    read = sh("systemctl", "show", unit(name), *(f"-p{kind}" for kind in kinds)).replace("\n", " ")
    return read if bounded(name) else f"{read} (lu sur l'unité : ce noyau-ci ne fait rien respecter)"


def forget(name: str) -> None:
    """Retire un élève des essais, avec son dossier et son compte."""
    sh("classe", "retirer", name, check=False)
    if (HOMES / name).is_dir():
        sh("userdel", f"eleve{uid(name)}", check=False)
        shutil.rmtree(HOMES / name)


class Hall:
    """La salle : ses élèves connectés, chacun avec un noyau ouvert."""

    def __init__(self) -> None:
        self.students, self.sessions = {}, []

    def browser(self):
        """Un navigateur neuf."""
        jar, timeout = aiohttp.CookieJar(unsafe=True), aiohttp.ClientTimeout(total=60)
        self.sessions.append(aiohttp.ClientSession(cookie_jar=jar, timeout=timeout))
        return self.sessions[-1]

    async def form(self, name: str, password: str, new: str = "") -> int:
        """Le code que rend le formulaire de connexion, rempli dans un navigateur neuf."""
        http = self.browser()
        async with http.get(f"{URL}/hub/login") as answer:
            proof = re.search(r'xsrf_token: "([^"]+)"', await answer.text())[1]
        form = {"username": name, "password": password, "_xsrf": proof, **({"new": new, "again": new} if new else {})}
        async with http.post(f"{URL}/hub/login", data=form, allow_redirects=False) as answer:
            return answer.status

    async def enter(self, name: str, first: str) -> None:
        """Connecte un élève, démarre son serveur et lui ouvre un noyau."""
        self.students[name] = student = Student(name, URL, first)
        await student.arrive(self.browser())
        await student.open_kernel("attaque.ipynb")

    async def run(self, name: str, code: str) -> str:
        """Fait exécuter `code` par un élève, dans son noyau."""
        return (await self.students[name].run(code)).strip()

    async def get(self, name: str, path: str, method: str = "GET", body=None) -> tuple[int, str]:
        """Ce que le navigateur d'un élève reçoit, avec la preuve de son serveur."""
        student = self.students[name]
        options = {"headers": student.headers, "json": body} if body is not None else {"headers": student.headers}
        async with student.http.request(method, f"{URL}{path}", **options) as answer:
            return answer.status, await answer.text()

    async def hub_proof(self, name: str) -> dict[str, str]:
        """La preuve qu'un script de la même origine lirait dans une page du hub."""
        return {"X-XSRFToken": re.search(r'xsrf_token: "([^"]+)"', (await self.get(name, "/hub/home"))[1])[1]}

    async def as_page(self, name: str, path: str, method: str, **options) -> int:
        """Le code qu'obtient, au nom d'un élève, un script d'une page de la même origine."""
        proof = await self.hub_proof(name)
        http = self.students[name].http
        async with http.request(method, f"{URL}{path}", headers=proof, allow_redirects=False, **options) as answer:
            return answer.status


@attack("l'enseignant, administrateur, ouvre la page d'un élève", "l'élève devenait administrateur, sans un clic")
async def administrator(hall: Hall):
    program = ("/opt/hub/bin/jupyterhub", "-f", str(ROOT / "hub" / "jupyterhub_config.py"))
    said = subprocess.run(program, env={**os.environ, "HUB_ENSEIGNANT": "aaq"}, capture_output=True, encoding="utf-8")
    code = (await hall.get("aaq", "/hub/admin"))[0]
    refused = said.returncode != 0 and "HUB_SOUS_DOMAINES" in said.stderr
    return refused and code in (403, 404), f"pas d'administrateur (/hub/admin : {code}) ; HUB_ENSEIGNANT seul, refusé"


@attack("un élève ouvre la page d'un autre et clique", "jeton pris, fichier lu, mot de passe changé")
async def clicked(hall: Hall):
    token = await hall.as_page("bbq", "/hub/api/users/bbq/tokens", "POST", json={})
    form = {"username": "bbq", "password": "", "new": "à l'intrus", "again": "à l'intrus"}
    form["_xsrf"] = (await hall.hub_proof("bbq"))["X-XSRFToken"]
    password = await hall.as_page("bbq", "/hub/login", "POST", data=form)
    files = (await hall.get("bbq", "/user/bbq/api/contents"))[0]
    said = f"jeton {token}, mot de passe {password} ; fichiers {files} : ouverts sans HUB_SOUS_DOMAINES, ce qui est dit"
    return "dit" if (token, password) == (403, 403) else False, said


@attack("un élève écoute au port d'un autre avant lui", "l'autre se connectait à sa page")
async def squatted(hall: Hall):
    address = sh("journalctl", "-u", "toylib-hub", "-o", "cat", "--grep", "Adding user bbq to proxy").split("https://")[
        -1
    ]
    host, port = address.split()[0].split(":")
    sh("systemctl", "kill", "-s", "KILL", unit("bbq"))
    await asyncio.sleep(1)
    seen = []
    for secure in (True, False):
        where = {"address": host, "port": int(port), "folder": f"/run/credentials/{unit('aaq')}", "secure": secure}
        listening = await hall.run("aaq", LISTEN.format(**where))
        seen.append((await hall.get("bbq", "/user/bbq/lab"))[1])
        await hall.run("aaq", "server.shutdown(), server.server_close()")
    stolen = any("PIEGE" in one for one in seen)
    return listening == "écoute" and not stolen, f"{host}:{port} pris, en TLS puis sans : la page ne passe pas"


@attack("un nom qui n'est pas encore sur la liste", "son mot de passe était gardé, et il entrait une fois listé")
async def unlisted(hall: Hall):
    early = await hall.form("ccq", "choisi d'avance")
    first = passwords(sh("classe", "ajouter", "ccq"))["ccq"]
    late, own = await hall.form("ccq", "choisi d'avance"), await hall.form("ccq", first, "mot de passe de ccq")
    return (early, late, own) == (403, 403, 302), f"avant la liste {early}, après {late} ; l'élève lui-même {own}"


@attack("un élève retiré", "connexion, témoin et jeton valaient encore")
async def removed(hall: Hall):
    first = passwords(sh("classe", "mot-de-passe", "ccq"))["ccq"]
    await hall.enter("ccq", first)
    number = uid("ccq")
    sh("classe", "retirer", "ccq")
    cookie, again = (await hall.get("ccq", "/hub/api/users/ccq"))[0], await hall.form("ccq", "mot de passe de ccq")
    left = len(processes("ccq"))
    del hall.students["ccq"]
    return cookie in (
        403,
        404,
    ) and again == 403 and not left, f"témoin {cookie}, connexion {again}, {left} processus au {number}"


@attack("le nom d'un élève retiré, pris par un autre", "le premier venu l'avait, dossier compris")
async def reclaimed(hall: Hall):
    code = await hall.form("ccq", "à moi maintenant")
    return code == 403, f"connexion {code} : il faut que root le rajoute, et un premier mot de passe"


@attack("des mots de passe essayés, vingt à la fois", "cinq par seconde, sans fin ; le hub figé 2,9 s")
async def guessed(hall: Hall):
    sh("classe", "ajouter", "ddq")
    worst, start = 0.0, time.perf_counter()
    tries = [asyncio.create_task(hall.form("ddq", f"essai {k}")) for k in range(20)]
    while not all(one.done() for one in tries):
        asked = time.perf_counter()
        async with hall.students["aaq"].http.get(f"{URL}/hub/health") as answer:
            await answer.read()
        worst = max(worst, time.perf_counter() - asked)
        await asyncio.sleep(0.02)
    elapsed = time.perf_counter() - start
    log = sh("journalctl", "-u", "toylib-hub", "-o", "cat", "--since", f"-{int(elapsed) + 2}s")
    waited = log.count("Trop d'essais")
    return (
        waited >= 15 and worst < 1,
        f"{20 - waited} essais sur 20 lus, {waited} renvoyés ; le hub répond en {worst:.2f} s au pire",
    )


FORGED = """
import http.client, os, re, ssl
from urllib.parse import urlencode
context = ssl.create_default_context(cafile=os.environ['JUPYTERHUB_SSL_CLIENT_CA'])
context.check_hostname = False
context.load_cert_chain(os.environ['JUPYTERHUB_SSL_CERTFILE'], os.environ['JUPYTERHUB_SSL_KEYFILE'])
words = []
for k in range(8):
    link = http.client.HTTPSConnection('127.0.0.1', 8081, context=context)
    headers = {'X-Forwarded-For': f'9.9.9.{k}', 'Sec-Fetch-Mode': 'navigate'}
    link.request('GET', '/hub/login', headers=headers)
    page = link.getresponse()
    page.read()
    cookies = dict(re.findall(r'([^=;, ]+)=([^;]+); ', page.getheader('Set-Cookie', '')))
    headers['Cookie'] = '; '.join(f'{name}={value}' for name, value in cookies.items())
    headers['Content-Type'] = 'application/x-www-form-urlencoded'
    form = {'_xsrf': cookies['_xsrf'], 'username': 'ccq', 'password': 'essai'}
    link.request('POST', '/hub/login', urlencode(form), headers)
    words.append('attendez' in link.getresponse().read().decode())
print(sum(words))
"""


@attack("les mêmes, du carnet au hub, chacun d'une adresse inventée", "sans fin")
async def invented(hall: Hall):
    refused = int((await hall.run("aaq", FORGED)).split()[-1])
    return refused >= 3, f"{refused} renvoyés sur 8"


@attack("2 Go de mémoire partagée, ou 110 processus de 97 Mo", "les autres perdaient noyaux et serveurs")
async def memory(hall: Hall):
    read = bounds("aaq")
    said = await hall.run("aaq", "x = bytearray(3 << 30)")
    if bounded("aaq"):
        said += await hall.run(
            "aaq", "import mmap; m = mmap.mmap(-1, 2 << 30)\nfor k in range(0, 2 << 30, 4096): m[k] = 1"
        )
    fine = "MemoryMax=1572864000" in read and "MemoryError" in said
    return fine and (bounded("aaq") or "lu"), f"3 Go d'un coup : MemoryError ; {read}"


@attack("/dev/shm rempli", "les autres n'avaient plus rien")
async def shared(hall: Hall):
    await hall.run("aaq", "open('/dev/shm/pris', 'wb').write(bytes(50 << 20))")
    seen = await hall.run("ddq" if "ddq" in hall.students else "bbq", "import os; print(os.listdir('/dev/shm'))")
    alone = not Path("/dev/shm/pris").exists() and "pris" not in seen
    return alone, "chacun a le sien, compté dans sa mémoire"


@attack("cent boucles sans fin", "un voisin 55 fois plus lent, une connexion en 5 s")
async def busy(hall: Hall):
    read = bounds("aaq")
    return "CPUQuotaPerSecUSec=1s" in read and (bounded("aaq") or "lu"), read


@attack("onze noyaux ouverts", "la liste de ses propres fichiers répondait 500")
async def kernels(hall: Hall):
    codes = [(await hall.get("aaq", "/user/aaq/api/kernels", "POST", {"name": "python3"})) for _ in range(11)]
    files = (await hall.get("aaq", "/user/aaq/api/contents"))[0]
    refused = [json.loads(text)["message"] for code, text in codes if code == 409]
    for one in json.loads((await hall.get("aaq", "/user/aaq/api/kernels"))[1])[1:]:
        await hall.get("aaq", f"/user/aaq/api/kernels/{one['id']}", "DELETE")
    return files == 200 and bool(
        refused
    ), f"{len(codes) - len(refused)} de plus, puis « {refused[0][:45]}… » ; fichiers {files}"


@attack("une bombe de processus", "tenu")
async def bomb(hall: Hall):
    said = await hall.run("aaq", BOMB)
    return said.startswith("BlockingIOError"), f"{said} processus nés"


@attack("un disque rempli", "pas de quota : les autres n'enregistraient plus")
async def disk(hall: Hall):
    flags = sh("findmnt", "-no", "OPTIONS", "--target", str(HOMES))
    return (True, "un quota est posé") if "quota" in flags else ("dit", "ouvert sans le quota que la page propose")


@attack("ce qu'un élève laisse hors de son dossier", "dans /tmp, et son numéro redonné")
async def leftovers(hall: Hall):
    code = "import os\nfor place in ('/tmp', '/var/tmp', '/dev/shm', '/srv', '/opt', '/var/lib', '/run'):\n"
    code += "    try: open(place + '/reste', 'w').close(); print(place)\n    except OSError: pass"
    wrote = (await hall.run("aaq", code)).split()
    left = [place for place in wrote if Path(place, "reste").exists()]
    numbers = sorted(one.stat().st_uid for one in HOMES.iterdir())
    name = f"q{time.time():.0f}"
    sh("classe", "ajouter", name)
    fresh = (given := uid(name)) not in numbers
    forget(name)
    inside = set(wrote) <= {"/tmp", "/var/tmp", "/dev/shm"}
    return (
        inside and not left and fresh,
        f"écrit dans {', '.join(wrote)}, à lui seul ; numéro {given}, jamais donné",
    )


@attack("le dossier de son unité, dans /run", "root y suivait un lien, et /run se remplissait")
async def own_unit(hall: Hall):
    folder = f"/run/{unit('aaq').removesuffix('.service')}"
    code = f"try: open('{folder}/reste', 'w').close(); print('écrit')\n"
    code += "except OSError as error: print(type(error).__name__)"
    said = (await hall.run("aaq", code)).strip()
    kept = list(Path("/run/toylib-hub").glob("jupyter-aaq*/*.env"))
    fine = said != "écrit" and [(one.stat().st_uid, one.stat().st_mode & 0o777) for one in kept] == [(0, 0o400)]
    return fine, f"{said} ; ce que systemd lit est à root, dans {kept[0].parent if kept else 'rien'}"


@attack("un processus détaché", "survivait au serveur et au hub")
async def detached(hall: Hall):
    await hall.run("aaq", "import subprocess; subprocess.Popen('setsid nohup sleep 9999 & disown', shell=True)")
    before = len(processes("aaq"))
    await hall.as_page("aaq", "/hub/api/users/aaq/server", "DELETE")
    for _ in range(30):
        await asyncio.sleep(1)
        if not processes("aaq"):
            break
    left = len(processes("aaq"))
    return left == 0, f"{before} processus avant l'arrêt du serveur, {left} après"


@attack("le hub tué (kill -9)", "rien ne le relançait ; à la main, deux arrêts automatiques")
async def hub_killed(hall: Hall):
    await hall.run("bbq", "gardé = 7")
    start = time.perf_counter()
    sh("systemctl", "kill", "-s", "KILL", "--kill-whom=main", "toylib-hub")
    down = await until_up(hall, start)
    cullers = int(sh("pgrep", "-fc", "jupyterhub_idle_culler", check=False) or 0)
    return (
        await hall.run("bbq", "print(gardé)")
    ) == "7" and cullers == 1, f"de retour en {down:.0f} s, le noyau de l'élève intact"


async def until_up(hall: Hall, start: float) -> float:
    """Attend que le hub réponde et que le serveur d'un élève soit joignable ; rend les secondes depuis `start`."""
    for _ in range(240):
        await asyncio.sleep(0.5)
        try:
            if (await hall.get("bbq", "/hub/api/"))[0] == 200 and (await hall.get("bbq", "/user/bbq/api"))[0] == 200:
                down = time.perf_counter() - start
                for student in hall.students.values():
                    await student.connect()
                return down
        except (OSError, RuntimeError, aiohttp.ClientError):
            continue
    return float("inf")


@attack("un numéro de processus repris après un arrêt brutal", "arrêter le hub tuait un innocent, à root")
async def innocent(hall: Hall):
    sleeper = subprocess.Popen(["sleep", "600"])
    Path("/run/toylib-hub/proxy.pid").write_text(str(sleeper.pid))
    sh("systemctl", "kill", "-s", "KILL", "--kill-whom=main", "toylib-hub")
    await until_up(hall, 0)
    sh("systemctl", "restart", "toylib-hub")
    await until_up(hall, 0)
    alive = sleeper.poll() is None
    sleeper.kill()
    return alive, "l'innocent vit : le numéro est dans /run, que systemd vide"


@attack("le proxy tué (kill -9)", "")
async def proxy_killed(hall: Hall):
    start = time.perf_counter()
    hub = sh("systemctl", "show", "-P", "MainPID", "toylib-hub")
    os.kill(int(sh("pgrep", "-P", hub, "-f", "configurable-http-proxy")), signal.SIGKILL)
    down = await until_up(hall, start)
    return down < 60 and (await hall.run("bbq", "print(2)")) is not None, f"de retour en {down:.0f} s"


@attack("un lien nbgitpuller vers un dossier caché", "un clic exécutait son contenu")
async def hidden(hall: Hall):
    link = "/user/bbq/git-pull/api?repo=https%3A%2F%2Fexample.org%2Fx&branch=main&targetpath=.ipython&backup=1"
    said = (await hall.get("bbq", link))[1]
    return "dossier cach" in said and not (HOMES / "bbq" / ".ipython" / "x").exists(), "refusé, et dit à l'élève"


@attack("fichiers, /proc, signaux, ptrace d'un autre", "tenu")
async def neighbours(hall: Hall):
    other = processes("bbq")[0]
    code = f"""
import os
tries = [lambda: os.listdir({str(HOMES / "bbq")!r}), lambda: os.kill({other}, 9), lambda: os.listdir("/proc/{other}"),
         lambda: open("/proc/{other}/mem", "rb"), lambda: os.listdir({str(STATE)!r}), lambda: os.setuid(0),
         lambda: open("/run/credentials/{unit("bbq")}/keyfile"), lambda: os.listdir({str(HOMES)!r})]
for one in tries:
    try: one(); print("PASSÉ")
    except OSError as error: print(type(error).__name__)
"""
    said = (await hall.run("ddq", code)).split()
    return len(said) == 8 and "PASSÉ" not in said, ", ".join(sorted(set(said)))


@attack("le serveur d'un autre, par son port ou avec un témoin à soi", "tenu")
async def direct(hall: Hall):
    cookie = (await hall.get("ddq", "/user/bbq/api/contents"))[0]
    address = sh("journalctl", "-u", "toylib-hub", "-o", "cat", "--grep", "Adding user bbq to proxy").split("https://")[
        -1
    ]
    code = f"""
import ssl, urllib.request
own = "/run/credentials/{unit("ddq")}/"
context = ssl.create_default_context(cafile=own + "cafile")
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.load_cert_chain(own + "certfile", own + "keyfile")
try: print(urllib.request.urlopen("https://{address.split()[0]}/user/bbq/api", context=context, timeout=5).status)
except OSError as error: print("refusé")
"""
    said = await hall.run("ddq", code)
    return cookie in (403, 404) and said == "refusé", f"témoin {cookie} ; certificat d'un autre : {said}"


@attack("ce qu'un noyau dit à son serveur, écouté", "tenu")
async def listened(hall: Hall):
    number = processes("bbq")[0]
    theirs = [one.name for one in Path(f"/proc/{number}/root/tmp/jupyter").glob("kernel-*-ipc-*")]
    places = ("/tmp/**/kernel-*", f"/proc/{number}/root/tmp/jupyter/*")
    seen = await hall.run("ddq", f"import glob; print([glob.glob(one, recursive=True) for one in {places}])")
    hidden = bool(theirs) and not any(one in seen for one in theirs)
    return hidden, f"il parle par {len(theirs)} fichiers, dans un /tmp que l'autre ne voit pas"


@attack("une demande sans preuve XSRF", "tenu")
async def unproved(hall: Hall):
    http = hall.students["bbq"].http
    async with http.post(f"{URL}/hub/api/users/bbq/server", json={}) as hub:
        first = hub.status
    async with http.put(f"{URL}/user/bbq/api/contents/x.txt", json={"type": "file", "format": "text"}) as server:
        return (first, server.status) == (403, 403), f"hub {first}, serveur {server.status}"


@attack("le noyau d'un élève tué (kill -9)", "")
async def kernel_killed(hall: Hall):
    student, start = hall.students["bbq"], time.perf_counter()
    number = await hall.run("bbq", "import os; gardé = 7; print(os.getpid())")
    address = f"{student.channels}?session_id=oreille"
    async with student.http.ws_connect(address, headers=student.headers, max_msg_size=0) as ear:
        os.kill(int(number), signal.SIGKILL)
        async for frame in ear:
            if b"restarting" in (frame.data if isinstance(frame.data, bytes) else frame.data.encode()):
                break
    told = time.perf_counter() - start
    await student.connect()
    said = await asyncio.wait_for(hall.run("bbq", "print(gardé)"), 60)
    return "NameError" in said, f"le navigateur l'apprend en {told:.0f} s ; un noyau neuf répond, sans les variables"


@attack("le serveur d'un élève tué (kill -9)", "")
async def server_killed(hall: Hall):
    sh("systemctl", "kill", "-s", "KILL", unit("ddq"))
    await asyncio.sleep(2)
    first, page = await hall.get("ddq", "/user/ddq/lab")
    start = time.perf_counter()
    while (await hall.get("ddq", "/hub/api/users/ddq"))[1].find(
        '"ready": true'
    ) > 0 and time.perf_counter() - start < 60:
        await asyncio.sleep(1)
    again = await hall.as_page("ddq", "/hub/api/users/ddq/server", "POST", json={})
    said = f"{first} aussitôt ; le hub le sait en {time.perf_counter() - start:.0f} s, l'élève rouvre ({again})"
    return again in (201, 202) and "Votre serveur ne répond pas" in page, said


async def arrive(hall: Hall) -> None:
    """L'attaquante et son voisin."""
    for name in NAMES:
        sh("classe", "retirer", name, check=False)
    for name, first in passwords(sh("classe", "ajouter", "aaq", "bbq")).items():
        await hall.enter(name, first)


async def try_all(chosen: list[str]) -> int:
    """Joue les attaques l'une après l'autre ; rend combien ne sont pas tenues."""
    hall, failures = Hall(), 0
    await arrive(hall)
    print(f"{'attaque ou accident':<62} | {'avant':<52} | maintenant", flush=True)
    for one in ATTACKS:
        if chosen and one.work.__name__ not in chosen:
            continue
        try:
            await ready(hall, one)
            fine, said = await one.work(hall)
        except Exception as error:
            fine, said = False, f"{type(error).__name__} {error}"
        failures += fine is False
        verdict = {True: "tenu", False: "OUVERT"}.get(fine, fine)
        print(f"{one.name:<62} | {one.before:<52} | {verdict} : {said}", flush=True)
    for http in hall.sessions:
        await http.close()
    return failures


async def ready(hall: Hall, one: Attack) -> None:
    """Rouvre le serveur de qui vient de le perdre ; `ddq` n'arrive que quand on l'attend."""
    if one.work in (neighbours, direct, listened, server_killed) and "ddq" not in hall.students:
        sh("classe", "ajouter", "ddq", check=False)
        await hall.enter("ddq", passwords(sh("classe", "mot-de-passe", "ddq"))["ddq"])
    for name in ("aaq", "bbq"):
        if sh("systemctl", "is-active", unit(name), check=False) != "active":
            await hall.enter(name, passwords(sh("classe", "mot-de-passe", name))[name])


def make_machine(folder: Path) -> int:
    """Fait une machine dans `folder`, la démarre, y installe le hub et y rejoue tout ; rend ce que cela rend."""
    root = folder / "racine"
    if not root.is_dir():
        packages = "systemd,systemd-sysv,dbus,python3,python3-venv,git,ca-certificates,procps"
        subprocess.run(["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", root], check=True)
    files = sh("git", "-C", str(ROOT), "ls-files").splitlines()
    subprocess.run(["tar", "cf", folder / "cours.tar", "-C", ROOT, *files], check=True)
    (root / "opt" / "toylib").mkdir(parents=True, exist_ok=True)
    extract = ["tar", "xf", folder / "cours.tar", "-C", root / "opt" / "toylib", "--no-same-owner"]
    subprocess.run(extract, check=True)
    with started(root, folder / "console.log") as inside:
        code = 0
        for command in (["python3", "hub/installer.py"], ["/opt/hub/bin/python", "tests/bench/attaques.py"]):
            code = code or subprocess.run([*inside, *command]).returncode
    return code


@contextlib.contextmanager
def started(root: Path, log: Path) -> Iterator[list[str]]:
    """La machine de `root`, démarrée, puis éteinte ; rend ce qui, mis devant une commande, la lance dedans."""
    lent = [f"--bind-ro={path}" for path in LENT if Path(path).exists()]
    boot = ["systemd-nspawn", "-D", root, "--register=no", "--keep-unit", "-b", *lent]
    with log.open("w") as console, subprocess.Popen(boot, stdin=subprocess.DEVNULL, stdout=console) as machine:
        leader = ""
        while not leader and machine.poll() is None:
            time.sleep(0.2)
            leader = sh("pgrep", "-o", "-P", str(machine.pid), check=False)
        spaces = ["-m", "-u", "-i", "-p", "-C", "--root"]  # -w s'ouvrirait sur cette machine-ci : env va au dossier
        inside = ["nsenter", "-t", leader, *spaces, "env", "--chdir=/opt/toylib"]
        try:
            asked = [*inside, "systemctl", "is-system-running"]
            while machine.poll() is None and sh(*asked, check=False) not in ("running", "degraded"):
                time.sleep(1)
            yield inside
        finally:
            subprocess.run([*inside, "systemctl", "poweroff"], check=False)


def main() -> int:
    """Rend zéro si tout est tenu."""
    if sys.argv[1:2] == ["--machine"] and len(sys.argv) == 3:
        return make_machine(Path(sys.argv[2]).resolve())
    try:
        failures = asyncio.run(try_all(sys.argv[1:]))
    finally:
        for name in NAMES:
            forget(name)
    print(f"{failures} attaque(s) passée(s)." if failures else "Tout est tenu, ou dit.")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
