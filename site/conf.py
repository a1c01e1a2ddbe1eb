"""Le site : les leçons en pages statiques, que l'on lit sans Python et sans réseau.

python -m sphinx -W -c site . build/site

La source est la racine du dépôt : les carnets sont pris où ils sont, tels qu'ils sont enregistrés, jamais exécutés.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "site"), str(ROOT)]  # notebook_page et mathml ; toylib

import notebook_page  # noqa: E402

project = "Le taux d'apprentissage et la convergence"
language = "fr"

extensions = ["myst_nb", "mathml"]
root_doc = "site/accueil"
include_patterns = ["site/accueil.md", "notebooks/**.ipynb", "notebooks/*.md", "docs/classe.md"]
exclude_patterns = [".*", "**/.*", "build", "paquets", "tests", "toylib", "travail"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_custom_formats = {".ipynb": "notebook_page.read"}
nb_render_markdown_format = "myst"
nb_ipywidgets_js = {}  # aucun état de widget n'est enregistré, et ces scripts viendraient du réseau

highlight_language = "text"
smartquotes = False
templates_path = ["_templates"]
html_theme = "sphinx_book_theme"
html_title = project
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_additional_pages = {"index": "index.html"}  # l'adresse du dossier mène à l'accueil
html_use_index = False
html_copy_source = False
html_show_copyright = False
html_show_search_summary = False  # la recherche lirait pour cela les autres pages, ce qui ne se peut sans serveur
html_sidebars = {"**": ["navbar-logo.html", "search-button-field.html", "sbt-sidebar-nav.html"]}
html_theme_options = {
    "search_bar_text": "Rechercher…",
    "toc_title": "Sur cette page",
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navbar_persistent": [],
    "primary_sidebar_end": [],
    "footer_content_items": ["extra-footer.html"],
    "extra_footer": "Les leçons sont sous licence CC BY 4.0, le code sous licence MIT.",
}


def write_explorers(app, error):
    """Une page par explorateur des carnets, que leurs pages montrent."""
    if error is None and app.builder.format == "html":
        notebook_page.write_explorers(sorted(ROOT.glob("notebooks/**/*.ipynb")), app.outdir / notebook_page.FOLDER)


def setup(app):
    app.connect("build-finished", write_explorers)
