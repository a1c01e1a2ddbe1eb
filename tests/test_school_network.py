"""Ce que dit cours.py sur le réseau d'une école : la vraie commande de pip, devant de vrais serveurs en panne."""

import os
import sys

import pytest
from school_network import school, unknown_certificate
from small_course import make_course, run

import cours

pytestmark = pytest.mark.lent
CERTIFICATE, PROXY, BLOCKED = "un certificat que Python ne connaît pas", "Le proxy demande", "bloque les paquets"
SILENT, PORTAL = "Le réseau ne répond pas, ou coupe", "Le réseau répond, mais sans les paquets"
FAULTS = [
    ("proxy", "intercept", CERTIFICATE),
    ("tls", "200 OK", CERTIFICATE),
    ("proxy", "403 Forbidden", BLOCKED),
    ("proxy", "407 Proxy Authentication Required", PROXY),
    ("proxy", "502 Bad Gateway", BLOCKED),
    ("proxy", "511 Network Authentication Required", BLOCKED),
    ("proxy", "reset", SILENT),
    ("index", "stall", SILENT),
    ("index", "403 Forbidden", PORTAL),
    ("index", "200 OK", PORTAL),
    ("index", "cut", BLOCKED),
    ("index", "hash", BLOCKED),
    ("index", "old", "PyTorch n'existe pas pour ce système"),
]


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    return unknown_certificate(tmp_path_factory.mktemp("certificat"))


def settings(place, port):
    """Les variables de qui passe par ce proxy, ou par cet index ; aucune n'en sort."""
    index = {"tls": f"https://localhost:{port}/simple", "index": f"http://127.0.0.1:{port}/simple"}
    way = {"HTTPS_PROXY": f"http://127.0.0.1:{port}"} if place == "proxy" else {"PIP_INDEX_URL": index[place]}
    return {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost", **way}


@pytest.fixture
def nowhere(monkeypatch):
    """Ni les réglages de pip ni les certificats de cette machine ; un essai de plus, et peu de patience."""
    for name in list(os.environ):
        if name.upper().startswith(("PIP_", "SSL_CERT", "REQUESTS_", "CURL_")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    for name, value in {"CONFIG_FILE": os.devnull, "RETRIES": "1", "TIMEOUT": "1", "NO_CACHE_DIR": "1"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)


@pytest.mark.parametrize(("place", "mode", "said"), FAULTS)
def test_a_fault_of_the_network_is_told_with_a_way_out(place, mode, said, context, nowhere, monkeypatch, tmp_path):
    monkeypatch.setattr(cours, "PYTHON", sys.executable)
    with school(mode, context, tls=place == "tls") as port:
        for name, value in settings(place, port).items():
            monkeypatch.setenv(name, value)
        done, output = cours._quiet([*cours._pip("install"), "--target", tmp_path, "torch==2.13.0"])
    told = cours.explain(output)
    assert not done
    assert said in told, output
    assert "Binder" in told
    assert mode == "old" or "--hors-ligne" in told


@pytest.mark.long
def test_the_whole_command_says_it_and_nothing_in_english(context, nowhere, tmp_path):
    folder = make_course(tmp_path / "cours", wheels=False)
    with school("intercept", context) as port:
        code, said = run(folder, **settings("proxy", port))
    lines = [line for line in said.splitlines() if line]
    assert code == 1
    assert lines[:2] == ["Création de l'environnement", "Téléchargement de PyTorch (environ 200\xa0Mo)"]
    assert lines[2].startswith("L'index de PyTorch ne répond pas")
    assert lines[3] == "Installation du cours"
    assert CERTIFICATE in lines[4]
    assert len(lines) == 5
