"""Toute une classe sur un vrai JupyterHub : sudo /opt/hub/bin/python tests/bench/classe.py [ÉLÈVES …]

Pour chaque nombre d'élèves (1, 10 et 30 si l'on n'en dit rien), un hub neuf, réglé par hub/jupyterhub_config.py. Les
élèves arrivent tous à la fois : chacun se connecte, démarre son serveur, exécute toute la leçon 07, puis bouge pendant
une minute le curseur de l'explorateur comme à la main : des rafales de 10 crans, 100 à 150 ms par cran, et des pauses
de 3 à 6 s. Chacun enregistre son carnet, que l'on relit sur le disque une fois le hub arrêté.

Avant cela, autant d'élèves, sur un hub à qui ce cours n'a rien réglé (ni variables, ni arguments, sauf ceux sans
lesquels leurs noyaux se prendraient leurs ports), ouvrent un noyau qui importe torch, matplotlib et ipywidgets et fait
un pas d'optimiseur : c'est le plancher de leur mémoire.

Le tableau donne, par élève, ce plancher, la mémoire de ses processus (PSS : ce qui est partagé compte pour la part de
chacun ; RSS), le rapport des deux et ce qu'il prend d'un cœur, les secondes de l'arrivée au serveur prêt puis à la
leçon exécutée, les ms d'un cran à la première ligne d'état qui lui répond, et du dernier cran d'une rafale à son
résultat entier ; erreurs ; travail perdu.
"""

import asyncio
import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil

ROOT = Path(__file__).resolve().parent.parent.parent
LESSON = ROOT / "notebooks" / "07_taux_d_apprentissage.ipynb"
SECONDS, TICKS, LATE = float(os.environ.get("CLASSE_SECONDES", 60)), 10, 30  # du curseur ; d'une rafale ; sans réponse
FIRST_UID = 50000
PASSWORD = "mot de passe de {}"
HUB = ROOT / "hub"
BARE = """load_subconfig({config!r})
c.Spawner.environment, c.Spawner.args = {{"JUPYTER_RUNTIME_DIR": "/tmp/jupyter"}}, ["--KernelManager.transport=ipc"]
"""
FLOOR = """
import ipywidgets, torch
import matplotlib.pyplot as plt
layer = torch.nn.Linear(2, 2)
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
layer(torch.ones(1, 2)).sum().backward()
optimizer.step()
"""


@dataclass
class Student:
    """Un élève, et tout ce que l'on mesure de lui."""

    name: str
    url: str
    first: str
    ready: float = 0.0
    executed: float = 0.0
    ticks: list[float] = field(default_factory=list)
    bursts: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    saved: dict | None = None

    async def arrive(self, http: aiohttp.ClientSession) -> None:
        """Choisit son mot de passe et se connecte, comme au formulaire, puis démarre son serveur."""
        start = time.perf_counter()
        self.http, hub = http, f"{self.url}/hub"
        self.server, me = f"{self.url}/user/{self.name}", f"{hub}/api/users/{self.name}"
        form = {"username": self.name, "password": self.first, "_xsrf": await self._proof(f"{hub}/login")}
        form |= dict.fromkeys(("new", "again"), PASSWORD.format(self.name))
        await self._ask("POST", f"{hub}/login", data=form, text=True, allow_redirects=False)
        self.headers = {"X-XSRFToken": await self._proof(f"{hub}/home")}
        await self._ask("POST", f"{me}/server", json={}, headers=self.headers, text=True)
        while not (await self._ask("GET", me, headers=self.headers))["servers"][""]["ready"]:
            await asyncio.sleep(0.5)
        await self._ask("GET", f"{self.server}/lab", text=True)
        cookies = [one for one in self.http.cookie_jar if (one.key, one["path"]) == ("_xsrf", f"/user/{self.name}/")]
        self.headers = {"X-XSRFToken": cookies[-1].value}
        self.ready = time.perf_counter() - start

    async def _proof(self, page: str) -> str:
        """La preuve XSRF que porte une page du hub."""
        return re.search(r'xsrf_token: "([^"]+)"', await self._ask("GET", page, text=True))[1]

    async def _ask(self, method: str, url: str, text: bool = False, **options):
        async with self.http.request(method, url, **options) as answer:
            if answer.status >= 400:
                raise RuntimeError(f"{method} {url} : {answer.status} {(await answer.text())[:200]}")
            return await (answer.text() if text else answer.json())

    async def open_kernel(self, path: str) -> None:
        """Ouvre un noyau, celui du carnet `path`."""
        session = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        answer = await self._ask("POST", f"{self.server}/api/sessions", json=session, headers=self.headers)
        self.channels = f"{self.server}/api/kernels/{answer['kernel']['id']}/channels"
        await self.connect()

    async def connect(self) -> None:
        """Parle au noyau ouvert, comme JupyterLab après une coupure."""
        address = f"{self.channels}?session_id={uuid.uuid4().hex}"
        socket_ = await self.http.ws_connect(address, headers=self.headers, max_msg_size=0)
        self.kernel = Kernel(socket_)

    async def run(self, code: str) -> str:
        """Exécute `code` ; rend ce qu'il affiche, ou son erreur."""
        reply, outputs = await self.kernel.execute(code)
        printed = "".join(one.get("text", "") for one in outputs)
        return printed if reply["status"] == "ok" else f"{printed}{reply.get('ename')} : {reply.get('evalue')}"

    async def open_lesson(self) -> None:
        """Dépose la leçon 07 dans son dossier et lui ouvre un noyau."""
        self.notebook = json.loads(LESSON.read_text("utf-8"))
        await self.save()
        await self.open_kernel(LESSON.name)

    async def execute(self) -> None:
        """Exécute toutes les cellules, l'une après l'autre, et garde leurs sorties."""
        start = time.perf_counter()
        for cell in self.notebook["cells"]:
            if cell["cell_type"] == "code":
                reply, cell["outputs"] = await self.kernel.execute("".join(cell["source"]))
                if reply["status"] != "ok":
                    self.errors.append(f"{reply.get('ename')} : {reply.get('evalue')}")
        self.executed = time.perf_counter() - start

    async def move_slider(self, rng: random.Random) -> None:
        """Des rafales et des pauses, pendant une minute."""
        end = time.perf_counter() + SECONDS
        await asyncio.sleep(rng.uniform(0, 6))  # les élèves ne partent pas du même pied
        while time.perf_counter() < end:
            await self._burst(rng)
            await asyncio.sleep(rng.uniform(3, 6))

    async def _burst(self, rng: random.Random) -> None:
        """Dix crans d'un côté ou de l'autre, et ce qui leur répond."""
        index, step = self.kernel.index, rng.choice((-1, 1))
        sent = []
        for _ in range(TICKS):
            if not 0 <= index + step < len(self.kernel.labels):
                step = -step
            index += step
            sent.append((time.perf_counter(), self.kernel.labels[index]))
            await self.kernel.move(index)
            await asyncio.sleep(rng.uniform(0.10, 0.15))
        while (answers := self.kernel.answers(sent))[-1] is None:
            if time.perf_counter() > sent[-1][0] + LATE:
                self.errors.append(f"pas de réponse en {LATE} s")
                return
            await asyncio.sleep(0.02)
        self.bursts.append(answers[-1])
        self.ticks += self.kernel.first_answers(sent)

    async def save(self) -> None:
        """Enregistre le carnet, que l'élève a signé."""
        self.notebook["metadata"]["student"] = f"{self.name}, {len(self.bursts)} rafales"
        body = {"type": "notebook", "format": "json", "content": self.notebook}
        address = f"{self.server}/api/contents/{LESSON.name}"
        await self._ask("PUT", address, json=body, headers=self.headers)
        self.saved = json.loads(json.dumps(self.notebook))


class Kernel:
    """Un noyau, par le même WebSocket que JupyterLab ; retient le curseur de l'explorateur et sa ligne d'état."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._session = websocket, uuid.uuid4().hex
        self._waiting: dict[str, tuple[list, asyncio.Future]] = {}
        self._replies: dict[str, dict] = {}
        self.slider = self.stage = None
        self.index, self.labels, self.seen, self.known = 0, [], [], {}
        self._reader = asyncio.create_task(self._read())

    async def send(self, kind: str, content: dict) -> str:
        name = uuid.uuid4().hex
        header = {"msg_id": name, "msg_type": kind, "session": self._session, "username": "", "version": "5.3"}
        header["date"] = "2026-01-01T00:00:00Z"
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        await self._socket.send_str(json.dumps({**message, "buffers": []}))
        return name

    async def execute(self, code: str) -> tuple[dict, list]:
        """Exécute `code` ; rend la réponse du noyau et les sorties, quand les deux canaux ont fini."""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        done = asyncio.get_running_loop().create_future()
        name = await self.send("execute_request", content)
        self._waiting[name] = ([], done)
        await asyncio.wait_for(done, 900)
        outputs, _ = self._waiting.pop(name)
        return self._replies.pop(name), outputs

    async def move(self, index: int) -> None:
        """Un cran : le message que le widget envoie quand on le bouge."""
        self.index = index
        data = {"method": "update", "state": {"index": index}, "buffer_paths": []}
        await self.send("comm_msg", {"comm_id": self.slider, "data": data})

    async def _read(self) -> None:
        async for frame in self._socket:
            message = json.loads(frame.data) if frame.type == aiohttp.WSMsgType.TEXT else _unpack(frame.data)
            self._take(message["header"]["msg_type"], message["parent_header"].get("msg_id"), message["content"])
        for _, done in self._waiting.values():
            done.set_exception(RuntimeError("la connexion au noyau est tombée"))

    def _take(self, kind: str, parent: str | None, content: dict) -> None:
        """Range un message du noyau."""
        outputs, done = self._waiting.get(parent, ([], None))
        if kind == "execute_reply":
            self._replies[parent] = content
        elif kind in ("stream", "display_data", "execute_result", "error"):
            outputs.append({"output_type": kind, **{k: v for k, v in content.items() if k != "transient"}})
        elif kind == "comm_open":
            self._open(content["comm_id"], content["data"].get("state", {}))
        elif kind == "comm_msg" and content["comm_id"] == self.stage:
            self._show(content["data"].get("state", {}))
        if done and not done.done() and kind in ("status", "execute_reply"):
            idle = kind == "status" and content["execution_state"] == "idle"
            if idle and parent in self._replies:
                done.set_result(None)
            elif idle:
                asyncio.get_running_loop().call_later(0.05, self._take, kind, parent, content)

    def _open(self, name: str, state: dict) -> None:
        """L'explorateur : sa scène s'ouvre après ses commandes, dont le curseur de taux est la dernière de ce nom."""
        if not self.stage and state.get("description") == "Taux d'apprentissage" and "_options_labels" in state:
            self.slider, self.index, self.labels = name, state["index"], state["_options_labels"]
        elif self.slider and not self.stage and "recall" in state:
            self.stage = name
            self._show(state)

    def _show(self, state: dict) -> None:
        """Une image de la scène, ou celles que le navigateur saura peindre seul (`recall`), datées."""
        now = time.perf_counter()
        if "recall" in state:
            lines = [frame.get("status", "") for frame in state["recall"]]
            self.known = {line.split(" · ")[0]: now for line in lines}
        if "status" in state.get("frame", {}):
            self.seen.append((now, state["frame"]["status"]))

    def answers(self, sent: list[tuple[float, str]]) -> list[float | None]:
        """Pour chaque cran, les ms jusqu'à son résultat entier ; None s'il n'est pas venu."""
        found = []
        for start, label in sent:
            text = re.compile(rf"lr {re.escape(label)} · (?!.*époque \d+ sur)")
            shown = (1000 * (at - start) for at, line in self.seen if at > start and text.match(line))
            painted = 0.0 if self.known.get(f"lr {label}", float("inf")) < start else None
            found.append(next(shown, painted))
        return found

    def first_answers(self, sent: list[tuple[float, str]]) -> list[float]:
        """Pour chaque cran, les ms jusqu'à la première ligne d'état qui montre ce cran, ou un cran plus récent.

        Un cran que le navigateur sait peindre seul n'attend rien du noyau : il n'y est pas.
        """
        found = []
        for k, (start, label) in enumerate(sent):
            if self.known.get(f"lr {label}", float("inf")) < start:
                continue
            names = "|".join(re.escape(label) for _, label in sent[k:])
            text = re.compile(rf"lr ({names}) · ")
            later = (1000 * (at - start) for at, line in self.seen if at > start and text.match(line))
            found.append(next(later, 1000 * LATE))
        return found


def _unpack(data: bytes) -> dict:
    """Le message d'une trame binaire : nombre de morceaux, leurs places, puis le JSON en premier."""
    count = struct.unpack_from(">I", data)[0]
    places = [*struct.unpack_from(f">{count}I", data, 4), len(data)]
    return json.loads(data[places[0] : places[1]])


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start_hub(folder: Path, names: list[str], bare: bool) -> tuple[subprocess.Popen, str, dict[str, str]]:
    """Un hub neuf dans `folder`, sur des ports libres ; rend aussi le premier mot de passe de chacun."""
    public, hub, api = free_ports(3)
    url = f"http://localhost:{public}"
    environment = {
        **os.environ,
        "HUB_DOSSIER": str(folder),
        "HUB_ADRESSE": f"http://127.0.0.1:{public}",
        "HUB_UID": str(FIRST_UID),
    }
    environment |= {"HUB_PORT": str(hub), "HUB_PORT_PROXY": str(api)}
    config = folder / "config.py"
    config.write_text(BARE.format(config=str(HUB / "jupyterhub_config.py")), "utf-8")
    add = [sys.executable, str(HUB / "classe.py"), "ajouter", *names]
    said = subprocess.run(add, env=environment, check=True, capture_output=True, encoding="utf-8").stdout
    with (folder / "hub.log").open("w") as log:
        command = [sys.executable, "-m", "jupyterhub", "-f", str(config if bare else HUB / "jupyterhub_config.py")]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    return process, url, dict(line.split()[:2] for line in said.splitlines()[1:])


def stop_hub(process: subprocess.Popen, folder: Path) -> int:
    """Arrête le hub, les unités des élèves et leurs comptes ; rend combien de processus il en restait."""
    for one in (*psutil.Process(process.pid).children(), process):  # le hub, son proxy et son arrêt automatique
        one.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
    homes = list(folder.glob("eleves/*"))
    subprocess.run(["systemctl", "stop", *(f"jupyter-{home.name}-singleuser.service" for home in homes)], check=False)
    left = [one for home in homes for one in processes_of(home.stat().st_uid)]
    for home in homes:
        subprocess.run(["userdel", f"eleve{home.stat().st_uid}"], check=False, capture_output=True)
    return len(left)


def processes_of(uid: int) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["uids"]) if one.info["uids"] and one.info["uids"].real == uid]


def usage(folder: Path, name: str) -> tuple[float, float, float, int]:
    """Ce qu'un élève occupe : PSS et RSS en Mo, secondes de processeur, fils."""
    found = processes_of((folder / "eleves" / name).stat().st_uid)
    memory = [one.memory_full_info() for one in found]
    seconds = sum(sum(one.cpu_times()[:2]) for one in found)
    pss, rss = (sum(getattr(one, kind) for one in memory) / 1e6 for kind in ("pss", "rss"))
    return pss, rss, seconds, sum(one.num_threads() for one in found)


async def attempt(student: Student, work) -> bool:
    """Fait une étape ; ce qui échoue est une erreur de cet élève, et les autres continuent."""
    try:
        await work
    except Exception as error:
        student.errors.append(f"{type(error).__name__} {error}")
        return False
    return True


async def session(students: list[Student], work, folder: Path) -> list[tuple]:
    """Une séance, tous à la fois ; rend ce que chaque élève occupe à la fin : PSS, RSS, part d'un cœur, fils."""
    jars = [aiohttp.CookieJar(unsafe=True) for _ in students]
    timeout = aiohttp.ClientTimeout(total=300)
    https = [aiohttp.ClientSession(cookie_jar=jar, timeout=timeout) for jar in jars]
    try:
        present = await _together(students, https, work)
        before = [usage(folder, one.name)[2] for one in present]
        start = time.perf_counter()
        if work is _lesson:
            await asyncio.gather(*(attempt(one, one.move_slider(random.Random(one.name))) for one in present))
        elapsed = time.perf_counter() - start
        used = [usage(folder, one.name) for one in present]
        if work is _lesson:
            await asyncio.gather(*(attempt(one, one.save()) for one in present))
    finally:
        for http in https:
            await http.close()
    return [(pss, rss, (cpu - first) / elapsed, n) for (pss, rss, cpu, n), first in zip(used, before)]


async def _together(students: list[Student], https: list[aiohttp.ClientSession], work) -> list[Student]:
    """Une étape, tous à la fois ; rend ceux qui l'ont passée."""
    done = await asyncio.gather(*(attempt(one, work(one, http)) for one, http in zip(students, https)))
    return [one for one, fine in zip(students, done) if fine]


async def _floor(student: Student, http: aiohttp.ClientSession) -> None:
    """L'élève arrive, et n'ouvre que le plancher."""
    await student.arrive(http)
    await student.open_kernel("plancher.ipynb")
    if said := await student.run(FLOOR):
        raise RuntimeError(said)


async def _lesson(student: Student, http: aiohttp.ClientSession) -> None:
    """L'élève arrive, et fait la leçon."""
    await student.arrive(http)
    await student.open_lesson()
    await student.execute()


def lost(student: Student, folder: Path) -> bool:
    """Vrai si le carnet sur le disque n'est pas celui que l'élève a enregistré."""
    path = folder / "eleves" / student.name / LESSON.name
    if student.saved is None or not path.is_file():
        return True
    found = json.loads(path.read_text("utf-8"))
    return found["metadata"].get("student") != student.saved["metadata"]["student"] or [
        (cell["source"], cell.get("outputs")) for cell in _normal(found)["cells"]
    ] != [(cell["source"], cell.get("outputs")) for cell in _normal(student.saved)["cells"]]


def _normal(notebook: dict) -> dict:
    """Le même carnet, chaque texte d'un seul tenant."""

    def join(value):
        if isinstance(value, dict):
            return {key: join(one) for key, one in value.items()}
        if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
            return "".join(value)
        return [join(one) for one in value] if isinstance(value, list) else value

    return join(notebook)


async def wait_for(url: str, process: subprocess.Popen) -> None:
    async with aiohttp.ClientSession() as http:
        for _ in range(600):
            if process.poll() is not None:
                raise SystemExit("Le hub s'est arrêté aussitôt lancé.")
            try:
                async with http.get(f"{url}/hub/health") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


def measure(count: int) -> None:
    """Une classe de `count` élèves, et son plancher ; affiche leur ligne du tableau."""
    _, floor, _, _ = play(count, _floor)
    students, used, lost_work, left = play(count, _lesson)
    show(students, [one[0] for one in floor], used, lost_work, left)


def play(count: int, work) -> tuple[list[Student], list[tuple], int, int]:
    """Un hub neuf, et une séance ; rend les élèves, ce qu'ils occupent, les travaux perdus, les processus restés."""
    folder = Path(tempfile.mkdtemp(prefix="classe-", dir="/srv"))  # l'élève a un /tmp à lui
    folder.chmod(0o755)
    names = [f"eleve{k:02}" for k in range(1, count + 1)]
    process, url, passwords = start_hub(folder, names, bare=work is _floor)
    students, used = [Student(name, url, passwords[name]) for name in names], []
    try:
        asyncio.run(wait_for(url, process))
        used = asyncio.run(session(students, work, folder))
    finally:
        left = stop_hub(process, folder)
        log = (folder / "hub.log").read_text("utf-8")
    if any(one.errors for one in students):
        print("\n".join({error for one in students for error in one.errors}), *log.splitlines()[-20:], sep="\n")
    lost_work = sum(lost(one, folder) for one in students)
    shutil.rmtree(folder, ignore_errors=True)
    return students, used, lost_work, left


HEADER = (
    f"{'élèves':>6} {'nu':>5} {'PSS':>5} {'max':>5} {'PSS/nu':>6} {'RSS':>5} {'cœur':>5} {'fils':>5} "
    f"{'serveur':>7} {'max':>7} {'leçon':>7} "
    f"{'max':>7} {'cran':>6} {'95e c.':>6} {'entier':>6} {'95e c.':>6} {'rafales':>7} {'erreurs':>7} {'perdus':>6}"
)


def show(students: list[Student], bare: list[float], used: list[tuple], lost_work: int, left: int) -> None:
    """La ligne du tableau ; des médianes, et le pire à côté."""
    memory, rss, cores, threads = zip(*used) if used else ([], [], [], [])
    ready, executed = ([getattr(one, name) for one in students] for name in ("ready", "executed"))
    ticks, bursts = (list(itertools.chain(*(getattr(s, name) for s in students))) for name in ("ticks", "bursts"))
    columns = ((bare, 0.5), (memory, 0.5), (memory, 1))
    cells = [f"{len(students):>6}", *(f"{quantile(column, share):>5.0f}" for column, share in columns)]
    cells += [f"{sum(memory) / max(sum(bare), 1):>6.2f}"]
    cells += [f"{quantile(rss, 0.5):>5.0f} {quantile(cores, 0.5):>5.2f} {quantile(threads, 0.5):>5.0f}"]
    cells += [f"{quantile(column, share):>7.1f}" for column in (ready, executed) for share in (0.5, 1)]
    cells += [f"{quantile(column, share):>6.0f}" for column in (ticks, bursts) for share in (0.5, 0.95)]
    cells += [f"{len(bursts):>7} {sum(len(one.errors) for one in students):>7} {lost_work:>6}"]
    print(*cells, f"   {left} processus restaient" if left else "", flush=True)


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def main() -> None:
    print(HEADER)
    for count in [int(word) for word in sys.argv[1:]] or (1, 10, 30):
        measure(count)


if __name__ == "__main__":
    main()
