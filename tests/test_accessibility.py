"""Vu du dernier rang, au clavier, en couleurs forcées, agrandi, ou écouté : les widgets du cours dans JupyterLab."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import first_explorer, run_all, wait_for
from conftest import lessons

GRAVE = ("serious", "critical")
OURS = {"include": [[".toylib-explorer"], [".toylib-quiz"], [".widget-interact"]]}


@pytest.fixture(scope="module")
def lesson(lab, chromium):
    """La leçon 07 exécutée une fois pour toutes, ses trois explorateurs au repos."""
    with lessons(lab, chromium) as open_page:
        page = open_page("07_taux_d_apprentissage.ipynb")
        run_all(page)
        yield page


@pytest.fixture
def page(lesson):
    """La leçon, rendue comme elle était : son premier curseur à 0,1."""
    slider = first_explorer(lesson).get_by_role("slider", name="Taux d'apprentissage")
    while slider.get_attribute("aria-valuetext") != "0,1":
        slider.press("ArrowLeft")
    wait_for(first_explorer(lesson), 0.1)
    yield lesson
    lesson.emulate_media(forced_colors="none")
    lesson.set_viewport_size({"width": 1400, "height": 1000})


def serious(page, context=OURS):
    """Les fautes d'accessibilité qu'axe-core juge graves ou critiques, et où."""
    found = Axe().run(page, context=context).response["violations"]
    return {one["id"]: [node["html"] for node in one["nodes"]] for one in found if one["impact"] in GRAVE}


def test_axe_finds_nothing_serious_in_what_is_ours(page):
    assert serious(page) == {}


@pytest.mark.parametrize("name", ["04_descente_de_gradient.ipynb", "13_limite_de_stabilite.ipynb"])
def test_axe_finds_nothing_serious_in_the_other_demonstrations(open_lesson, name):
    """`interact` d'un côté, `Demo` de l'autre."""
    page = open_lesson(name)
    run_all(page)
    page.locator("[role=slider][aria-label]").first.wait_for()
    assert serious(page) == {}


def test_axe_would_see_an_image_without_a_text(page):
    image = page.locator(".toylib-explorer img").first
    text = image.get_attribute("alt")
    image.evaluate("image => image.removeAttribute('alt')")
    assert list(serious(page, {"include": [[".toylib-explorer img"]]})) == ["image-alt"]
    image.evaluate("(image, text) => image.setAttribute('alt', text)", text)


def test_a_screen_reader_hears_the_name_the_value_and_the_new_status(page):
    explorer = first_explorer(page)
    slider = explorer.get_by_role("slider", name="Taux d'apprentissage")
    assert slider.get_attribute("aria-valuetext") == "0,1"
    live = explorer.get_by_role("status")
    live.evaluate("element => { element.kept = true; }")  # une région qui demeure est annoncée, pas une nouvelle
    slider.press("ArrowRight")
    wait_for(explorer, 0.126)
    assert slider.get_attribute("aria-valuetext") == "0,126"
    assert live.evaluate("element => element.kept") is True
    assert live.inner_text().startswith("lr 0,126")
    assert explorer.get_by_role("img").get_attribute("alt").startswith("Figure")


def reached_by_tab(page, explorer):
    """Le nom de ce que Tab atteint dans l'explorateur, dans l'ordre."""
    explorer.get_by_role("slider").first.focus()
    names = []
    for _ in range(40):
        inside, name = page.evaluate(
            """() => { const at = document.activeElement;
                return [!!at.closest('.toylib-explorer'), at.getAttribute('aria-label') || at.innerText]; }"""
        )
        if not inside:
            break
        names.append(name.strip())
        page.keyboard.press("Tab")
    return names


def test_every_control_is_reached_by_tab_and_the_keyboard_leaves(page):
    explorer = page.locator(".toylib-explorer").first
    names = reached_by_tab(page, explorer)
    assert names[0] == "Taux d'apprentissage"
    shown = explorer.locator("button:visible").all_inner_texts()
    assert {text.strip() for text in shown} <= set(names)
    assert len(names) < 40


def test_the_chosen_button_is_seen_in_forced_colours(page):
    """Là où le système impose ses couleurs, un fond ne dit plus rien : il faut un bord."""
    page.emulate_media(forced_colors="active")
    explorer = page.locator(".toylib-explorer").first
    border = "button => getComputedStyle(button).outlineStyle + getComputedStyle(button).borderStyle"
    chosen = explorer.locator(".widget-toggle-button.mod-active").first.evaluate(border)
    other = explorer.locator(".widget-toggle-button:not(.mod-active)").first.evaluate(border)
    assert chosen != other


# Ce qui, dans la sortie d'une démonstration, dépasse à droite de ce que l'on en voit.
BEYOND = """root => {
    const edge = root.closest('.jp-OutputArea-output').getBoundingClientRect().right + 1;
    const parts = [...root.querySelectorAll('button, img, label, .widget-readout, .noUi-handle, .toylib-status')];
    return parts.filter(one => one.getBoundingClientRect().right > edge).map(one => one.outerHTML);
}"""


@pytest.mark.parametrize("zoom", [1, 2])
def test_nothing_is_cut_at_200_percent(page, zoom):
    page.set_viewport_size({"width": 1400 // zoom, "height": 1000 // zoom})
    page.wait_for_timeout(500)
    for explorer in page.locator(".toylib-explorer").all():
        explorer.scroll_into_view_if_needed()
        assert explorer.evaluate(BEYOND) == []
