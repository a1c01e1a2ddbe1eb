"""La scène : ce que matplotlib écrit une fois, ce qui part au navigateur, et ce qu'il en fait."""

import json
import re
from base64 import b64encode
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from toylib.explorer import stage as stage_module
from toylib.explorer.stage import Stage, make_figure

JS = Path(stage_module.__file__).with_suffix(".js").read_text("utf-8")
CSS = Path(stage_module.__file__).with_suffix(".css").read_text("utf-8")
# Une page dont chaque modèle parle à la scène comme celui d'un widget ; `give` en change l'état.
PAGE = """<meta charset="utf-8"><style>%s</style><body></body><script type="module">%s
    const revive = (_, value) => value?.b64 === undefined ? value
        : new DataView(Uint8Array.from(atob(value.b64), one => one.charCodeAt(0)).buffer);
    window.models = [];
    window.mount = async text => {
        const state = JSON.parse(text, revive), actions = {}, el = document.createElement('div');
        const model = { get: name => state[name], on: (name, action) => { actions[name] = action; }, off() {} };
        document.body.append(el);
        await render({ model, el });
        models.push({ state, actions });
    };
    window.give = (k, name, text) => {
        models[k].state[name] = JSON.parse(text, revive);
        models[k].actions[`change:${name}`]();
    };
</script>"""


def dumps(value):
    return json.dumps(value, default=lambda data: {"b64": b64encode(data).decode()})


def mount(page, stage):
    names = ("figures", "font", "controls", "frame", "pins", "recall")
    page.evaluate("text => mount(text)", dumps({name: getattr(stage, name) for name in names}))


def give(page, stage, name, k=0):
    page.evaluate("([k, name, text]) => give(k, name, text)", [k, name, dumps(getattr(stage, name))])


@pytest.fixture
def page(chromium):
    made = chromium.new_page(viewport={"width": 1000, "height": 900})
    made.set_content(PAGE % (CSS, JS.replace("export default", "window.stage =")))
    made.wait_for_function("!!window.mount")
    yield made
    made.close()


class Scene:
    """Une figure avec un artiste de chaque sorte ; `move` leur donne d'autres données."""

    def __init__(self):
        self.figure = make_figure((480, 400))
        (ax,) = self.figure.axes
        ax.set(xlim=(0, 10), ylim=(0.1, 10), yscale="log", xlabel="Pas", ylabel="Perte")
        (self.line,) = ax.plot([], [], gid="line", marker="o", color="#0072B2")
        self.box = ax.add_patch(Rectangle((1, 1), 2, 3, gid="box"))
        self.text = ax.text(5, 1, "", gid="text", ha="right")
        for clipped in (False, True):
            ax.text(1, 0.2, "sur fond", bbox={"facecolor": "#F2F2F2"}, clip_on=clipped)
        self.stage = Stage(self.figure)

    def move(self):
        self.line.set_data([0, 2, 4, 9], [0.2, 5, np.nan, 3])
        self.box.set_bounds(4, 2, 3, 5)
        self.text.set(x=8, y=4, text="là")
        self.stage.show(status="ça <b>bouge</b>")
        return self.stage


def numbers(text):
    return [float(one) for one in re.findall(r"-?\d+\.?\d*", text)]


def outline(svg, gid):
    """Les sommets du tracé de l'artiste `gid` dans un SVG."""
    return numbers(re.search(rf'<g id="{gid}"[^>]*>\s*<path d="(.*?)"', svg, re.S)[1])


def test_what_stands_still_is_written_once_and_each_moving_artist_has_its_group():
    stage = Scene().stage
    (svg,) = stage.figures
    for gid in ("line", "box", "text"):
        assert svg.count(f'id="{gid}"') == 1
    before = stage.figures
    stage.show(status="")
    assert stage.figures is before
    assert set(stage.frame["parts"]) == {"line", "box", "text"}


def test_ink_alone_takes_the_colour_of_the_theme():
    svg = Scene().stage.figures[0]
    assert "#000000" not in svg
    assert "stroke:currentColor" in svg
    assert "#0072b2" in svg
    assert "fill: #f2f2f2" in svg
    assert "fill: #ffffff" not in svg  # pas de fond blanc


def test_two_identical_frames_are_sent_twice():
    """L'image d'un retour en arrière doit repartir, même égale à la dernière envoyée."""
    stage, seen = Scene().stage, []
    stage.observe(seen.append, names="frame")
    stage.show(status="a")
    stage.show(status="a")
    assert len(seen) == 2


def test_the_browser_puts_each_artist_where_matplotlib_would(page):
    scene = Scene()
    mount(page, scene.stage)
    scene.move()
    give(page, scene.stage, "frame")
    made = page.evaluate("""() => Object.fromEntries(['line', 'box'].map(
        gid => [gid, document.querySelector(`[id$="-${gid}"] > path`).getAttribute('d')]))""")
    scene.stage.redraw()
    wanted = scene.stage.figures[0]
    assert numbers(made["line"]) == pytest.approx(outline(wanted, "line"), abs=0.01)
    assert numbers(made["box"])[:8] == pytest.approx(outline(wanted, "box")[:8], abs=0.01)
    uses = """() => [...document.querySelectorAll('[id$="-line"] use')].filter(one => one.style.display !== 'none')
        .map(one => [one.x.baseVal.value, one.y.baseVal.value]).flat()"""
    marks = re.findall(
        r'<use [^>]*x="([\d.]+)" y="([\d.]+)"', re.search(r'<g id="line">.*?</g>\s*</g>', wanted, re.S)[0]
    )
    assert page.evaluate(uses) == pytest.approx([float(one) for pair in marks for one in pair], abs=0.01)
    place = """() => { const box = document.querySelector('[id$="-text"] text').getBoundingClientRect();
        return [box.right, box.bottom]; }"""
    moved = page.evaluate(place)
    give(page, scene.stage, "figures")
    scene.stage.show(status="")
    give(page, scene.stage, "frame")
    assert page.evaluate(place) == pytest.approx(moved, abs=0.5)


def test_a_text_on_its_own_ground_stays_black_where_the_theme_is_dark(page):
    mount(page, Scene().stage)
    page.evaluate("() => { document.querySelector('.toylib-stage').style.color = 'rgb(250, 250, 250)'; }")
    fills = page.evaluate("""() => [...document.querySelectorAll('svg text')].map(
        text => [text.textContent, getComputedStyle(text).fill])""")
    assert len([text for text, _ in fills if text == "sur fond"]) == 2
    for text, fill in fills:
        assert fill == ("rgb(0, 0, 0)" if text == "sur fond" else "rgb(250, 250, 250)"), text


def test_a_hidden_artist_is_hidden_and_comes_back(page):
    scene = Scene()
    mount(page, scene.move())
    shown = "() => document.querySelector('[id$=\"-box\"]').getBoundingClientRect().width > 0"
    assert page.evaluate(shown)
    for visible in (False, True):
        scene.box.set_visible(visible)
        scene.stage.show(status="")
        give(page, scene.stage, "frame")
        assert page.evaluate(shown) is visible


def test_an_image_takes_the_place_of_its_own(page):
    """Rouge en bas, bleu en haut : comme matplotlib, dont l'origine est en bas."""
    figure = make_figure((300, 300))
    (ax,) = figure.axes
    cells = ax.imshow(np.ones((1, 1, 3)), extent=(0, 1, 0, 1), aspect="auto", origin="lower", gid="map")
    stage = Stage(figure)
    cells.set_data(np.array([[[1.0, 0, 0]], [[0, 0, 1.0]]]))
    stage.show(status="")
    mount(page, stage)
    page.wait_for_timeout(200)
    box = page.locator("image").bounding_box()
    shot = page.screenshot(clip=box)
    picture = Image.open(BytesIO(shot)).convert("RGB")
    width, height = picture.size
    assert picture.getpixel((width // 2, height // 4)) == (0, 0, 255)
    assert picture.getpixel((width // 2, 3 * height // 4)) == (255, 0, 0)


def test_two_stages_never_mix_their_ids(page):
    first, second = Scene(), Scene()
    mount(page, first.stage)
    mount(page, second.stage)
    before = page.locator(".toylib-figures").first.inner_html()
    second.move()
    give(page, second.stage, "frame", 1)
    assert page.locator(".toylib-figures").first.inner_html() == before
    ids, used = page.evaluate("""() => [[...document.querySelectorAll('[id]')].map(one => one.id),
        [...document.body.innerHTML.matchAll(/(?:url\\(|href=")#([^")]+)/g)].map(found => found[1])]""")
    assert len(ids) == len(set(ids))
    assert set(used) <= set(ids)


def test_texts_are_texts_and_the_status_is_a_live_region_that_stays(page):
    scene = Scene()
    mount(page, scene.stage)
    status = page.get_by_role("status").first
    status.evaluate("one => { one.kept = true; }")
    scene.move()
    give(page, scene.stage, "frame")
    assert status.inner_text() == "ça <b>bouge</b>"
    assert status.evaluate("one => one.kept")
    assert page.get_by_role("img").get_attribute("aria-label").startswith("Figure\xa0: Perte selon Pas")


@pytest.mark.parametrize("width", [390, 800, 1366])
def test_a_figure_is_as_wide_as_its_place_without_a_band(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    mount(page, Scene().stage)
    box, figure = page.locator("svg").first.bounding_box(), page.locator(".toylib-figures").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(480 / 400, rel=0.01)
    assert box["width"] == pytest.approx(min(figure["width"], 0.8 * 900 * 1.2), abs=2)


@pytest.mark.parametrize(
    ("options", "kind", "extract"),
    [
        ({"size": 3}, TypeError, "size doit être une largeur et une hauteur"),
        ({"size": (3,)}, ValueError, "size doit être une largeur et une hauteur"),
        ({"size": (300, "a")}, TypeError, r"size\[1\] doit être un nombre"),
        ({"size": (0, 300)}, ValueError, r"size\[0\] doit être un nombre de pixels"),
        ({"columns": 0}, ValueError, "columns doit être un entier d'au moins 1"),
        ({"columns": 1.5}, TypeError, "columns doit être un entier"),
    ],
    ids=str,
)
def test_a_figure_that_could_not_be_drawn_is_refused_in_french(options, kind, extract):
    with pytest.raises(kind, match=extract):
        make_figure(**options)
