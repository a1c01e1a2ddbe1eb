"""La page que `explorer.save` écrit : ce qu'elle montre est ce que `train` donne, sans noyau ni réseau."""

import re

import french
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from toylib import Net, gendata, train
from toylib.explorer import LrExplorer
from toylib.explorer import page as page_module
from toylib.french import comma, percent

SETTINGS = {"n": 200, "epochs": 40}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """La page d'un explorateur, à 0,01 et Adam."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    explorer = LrExplorer(lr=0.01, views=("curves", "boundary", "u"), challenge=(0.9, 20), valid=50, **SETTINGS)
    explorer.save(path)
    explorer.close()
    return path


@pytest.fixture
def page(chromium, saved):
    made = chromium.new_page(viewport={"width": 1366, "height": 768}, locale="fr-FR")
    made.asked, made.faults = [], []
    made.on("request", lambda request: made.asked.append(request.url))
    made.on("pageerror", lambda error: made.faults.append(str(error)))
    made.goto(saved.as_uri())
    made.get_by_text("lr 0,01 ·").wait_for()
    yield made
    assert made.faults == []
    assert [url for url in made.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    made.close()


def trained(lr, optimizer="adam"):
    data = gendata(200, seed=0)
    valid = gendata(50, seed=10_000)
    return train(Net(2, seed=0), *data, 40, lr, optimizer=optimizer, valid=valid, seed=0)


def said(history, lr):
    words = [f"lr {comma(lr)}", f"perte {comma(history.loss[-1], 2)}", f"exactitude {percent(history.accuracy[-1])}"]
    words += [f"validation : perte {comma(history.valid_loss[-1], 2)}"]
    return " · ".join([*words, f"exactitude {percent(history.valid_accuracy[-1])}"]).replace("\xa0", " ")


def told(page):
    return page.locator(".toylib-status").inner_text().replace("\xa0", " ")


def heights(page, gid):
    """Les ordonnées d'une courbe, en parts de la hauteur de ses axes."""
    d, axes = page.evaluate(
        """gid => {
            const group = document.getElementById(`toylib1-${gid}`);
            const frame = group.closest('[id*="axes_"]').querySelector('[id*="patch_2"] path');
            return [group.querySelector('path').getAttribute('d'), frame.getAttribute('d')];
        }""",
        gid,
    )
    ends = [float(y) for y in re.findall(r"[ML] ?[\d.]+ ([\d.]+)", axes)]
    return [(max(ends) - float(y)) / (max(ends) - min(ends)) for y in re.findall(r"[ML][\d.-]+ ([\d.-]+)", d)]


def test_by_keyboard_each_rate_shows_what_train_gives(page):
    assert told(page) == said(trained(0.01), 0.01)
    slider = page.get_by_role("slider", name="Taux d'apprentissage")
    for key, times, lr in (("ArrowRight", 7, 0.0501), ("ArrowLeft", 3, 0.0251), ("Home", 1, 1e-5)):
        for _ in range(times):
            slider.press(key)
        history = trained(lr)
        assert told(page) == said(history, lr)
        assert slider.get_attribute("aria-valuetext") == comma(lr)
        low, high = np.log10([1e-3 / 1.1, 11])
        wanted = (np.log10(history.loss) - low) / (high - low)
        assert heights(page, "loss") == pytest.approx(wanted, abs=2e-3)
        assert heights(page, "valid_accuracy") == pytest.approx(history.valid_accuracy / 1.02, abs=2e-3)


def test_the_optimizer_is_chosen_by_keyboard_and_the_previous_curve_is_the_ghost(page):
    before = page.locator("#toylib1-loss path").get_attribute("d")
    page.get_by_role("radio", name="Adam").focus()
    page.keyboard.press("ArrowRight")
    assert told(page) == said(trained(0.01, "sgd"), 0.01)
    assert page.locator("#toylib1-ghost-loss path").get_attribute("d") == before
    legend = page.locator(".toylib-legend span").all_inner_texts()
    assert [text.replace("\xa0", " ") for text in legend] == [
        "lr 0,01, SGD",
        "validation : lr 0,01, SGD",
        "précédente : lr 0,01, Adam",
    ]


def test_the_mark_of_the_u_and_the_challenge_follow(page):
    mark = page.locator("#toylib1-mark path")
    before = mark.get_attribute("d")
    reached = trained(0.01).epochs_to(0.9)
    assert reached <= 20
    assert f"✓ relevé à l'époque {reached}" in page.locator(".toylib-challenge").inner_text().replace("\xa0", " ")
    page.locator("#rate").press("Home")
    assert mark.get_attribute("d") != before
    assert trained(1e-5).epochs_to(0.9) is None
    assert page.locator(".toylib-challenge").inner_text().endswith("pas encore relevé")


def test_it_is_light_french_and_accessible(page, saved, hunspell):
    assert saved.stat().st_size < page_module.LARGEST
    assert not re.search(r"(?:src|href)=[\"']?https?:", saved.read_text("utf-8"))
    assert french.unknown_words(page.locator("main").inner_text(), french.COURSE | french.CODE) == set()
    assert page.evaluate("document.documentElement.lang") == "fr"
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page).response["violations"]
        assert {one["id"] for one in found if one["impact"] in ("serious", "critical")} == set()


def test_it_reads_on_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    text = page.locator("svg text").first.bounding_box()
    assert text["height"] >= 11
    assert page.locator("#rate").bounding_box()["height"] >= 44


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        (3, TypeError, "nom de fichier"),
        ("page\0.html", TypeError, "nom de fichier"),
        ("page.pdf", ValueError, r"\.html"),
        ("nulle/part/page.html", ValueError, "dossier qui existe"),
        (".html", ValueError, r"\.html"),
    ],
)
def test_a_bad_path_is_refused_in_french_before_anything_is_trained(path, error, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    explorer = LrExplorer(n=20, epochs=1)
    monkeypatch.setattr("toylib.explorer.widget.write_page", None)
    with pytest.raises(error, match=said):
        explorer.save(path)
    explorer.close()


def test_ones_own_data_make_a_page_too(tmp_path):
    explorer = LrExplorer(data=(np.eye(6, 3), [0, 1, 2] * 2), epochs=3, views=("curves",))
    explorer.save(tmp_path / "page.html")
    explorer.close()
    assert "vos données, 3 époques" in (tmp_path / "page.html").read_text("utf-8").replace("\xa0", " ")


def test_what_the_kernel_does_not_keep_makes_a_page_too(tmp_path, monkeypatch):
    monkeypatch.setattr("toylib.explorer.widget.CACHE", 2000)
    explorer = LrExplorer(n=10, valid=10, epochs=30)
    explorer.save(tmp_path / "page.html")
    assert explorer.stage.recall == []
    explorer.close()


def test_a_folder_and_a_file_that_cannot_be_written_are_said_in_french(tmp_path):
    explorer = LrExplorer(n=20, epochs=1)
    (tmp_path / "dossier.html").mkdir()
    with pytest.raises(ValueError, match="un dossier"):
        explorer.save(tmp_path / "dossier.html")
    (tmp_path / "lien.html").symlink_to(tmp_path / "absent" / "page.html")
    with pytest.raises(ValueError, match="pouvoir s'écrire"):
        explorer.save(tmp_path / "lien.html")
    explorer.close()


def test_a_full_disk_is_said_in_french(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    explorer = LrExplorer(n=20, epochs=1)
    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(ValueError, match=r"path doit pouvoir s'écrire.*No space left"):
        explorer.save(tmp_path / "page.html")
    explorer.close()


def test_what_would_not_fit_is_refused_in_french(tmp_path, monkeypatch):
    monkeypatch.setattr(page_module, "LARGEST", 20_000)
    explorer = LrExplorer(n=20, epochs=1)
    with pytest.raises(ValueError, match="trop lourde"):
        explorer.save(tmp_path / "page.html")
    explorer.close()
    assert list(tmp_path.iterdir()) == []
