"""Le fichier des manchots : tel que son README le dit, lu et coupé comme la leçon 11 le montre."""

import csv
import hashlib
import re
from collections import Counter
from pathlib import Path

import french
import numpy as np
import pytest

from toylib.lessons.penguins import read_penguins, three_sets

FOLDER = Path(__file__).resolve().parent.parent / "notebooks/donnees"
FILE, README = FOLDER / "manchots.csv", (FOLDER / "README.md").read_text("utf-8")
MEASURES = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
LESSON = ("bill_length_mm", "body_mass_g")


@pytest.fixture(scope="module")
def rows():
    with open(FILE, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_folder_holds_the_file_and_its_description_and_is_light():
    assert sorted(path.name for path in FOLDER.glob("[!.]*")) == ["README.md", "manchots.csv"]
    assert round(FILE.stat().st_size / 1000) == 15  # « 15 ko »


def test_the_file_is_the_published_one_byte_for_byte():
    assert re.search(r"sha256 ([0-9a-f]{64})", README)[1] == hashlib.sha256(FILE.read_bytes()).hexdigest()


def test_the_columns_are_those_of_the_description(rows):
    table = README.partition("## ")[0]
    assert set(re.findall(r"`(\w+)`", re.sub(r"\| [^`|]*\|$", "", table))) >= set(rows[0])
    named = [name for line in table.splitlines() if line.startswith("| `") for name in re.findall("`(.*?)`", line)]
    assert [name for name in named if name in rows[0]] == list(rows[0])


def test_the_counts_are_those_of_the_description(rows):
    """Leçon 11 : « les mesures de 344 manchots »."""
    said = README.replace("\xa0", " ")
    assert f"{len(rows)} manchots" in said
    assert len(rows) == 344
    species = Counter(row["species"] for row in rows)
    assert species == {"Adelie": 152, "Chinstrap": 68, "Gentoo": 124}
    assert all(re.search(rf"`{name}` \([^)]*\b{count}\b", said) for name, count in species.items())
    assert {row["island"] for row in rows} == set(re.findall("`([A-Z][a-z]+)`", said.partition("l'île")[2][:60]))
    assert {row["year"] for row in rows} == {"2007", "2008", "2009"}
    assert sum(row["sex"] == "NA" for row in rows) == 11  # « le sexe, pour 11 »
    gaps = [[row[name] == "NA" for name in MEASURES] for row in rows]
    assert Counter(map(tuple, gaps)) == {(False,) * 4: 342, (True,) * 4: 2}  # « les quatre mesures, pour 2 oiseaux »


def test_the_licence_is_said_with_its_address():
    assert "CC0 1.0" in README
    assert "https://creativecommons.org/publicdomain/zero/1.0/" in README


def test_the_description_is_in_french(hunspell):
    prose = re.sub(r"\|[-| ]*\|$|`[^`]*`", "x", re.sub(r"```.*?```", "", README, flags=re.S), flags=re.M)
    assert french.ORDINARY_SPACE.findall(prose) == []
    names = {"Adélie", "Palmer", "Kristen", "Gorman", "Williams", "Fraser", "PLoS", "ONE", "Allison", "Horst", "Alison"}
    assert french.unknown_words(README, french.COURSE | names | {"Hill", "PyPI", "CC", "doi", "pone"}) == set()


def test_reading_keeps_the_birds_whose_measures_are_all_there():
    points, labels = read_penguins(FILE, MEASURES)
    assert points.shape == (342, 4)
    assert np.bincount(labels).tolist() == [151, 68, 123]
    assert points[0].tolist() == [39.1, 18.7, 181, 3750]
    assert np.isfinite(points).all()


@pytest.mark.parametrize(
    ("columns", "argument"),
    [(["poids"], r"columns\[0\]"), ("bill_length_mm", "columns"), ([], "columns"), (["species"], "columns")],
)
def test_a_column_that_holds_no_number_is_refused(columns, argument):
    with pytest.raises((ValueError, TypeError), match=f"^{argument} doit "):
        read_penguins(FILE, columns)


def test_the_three_sets_share_no_bird_and_only_the_first_sets_the_scale():
    points, labels = read_penguins(FILE, LESSON)
    numbered = np.c_[points, np.arange(342)]
    sets = three_sets(numbered, labels, seed=3)
    assert [len(one) for one, _ in sets] == [200, 71, 71]
    assert len({round(float(number), 6) for one, _ in sets for number in one[:, 2]}) == 342
    learnt = sets[0][0]
    np.testing.assert_allclose([learnt.mean(axis=0), learnt.std(axis=0)], [[0] * 3, [1] * 3], atol=1e-12)
    assert abs(sets[1][0].mean(axis=0)).max() > 0.01
