import csv

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure

from benchmark.errors import UsageError
from benchmark.figures.drawing import Drawing
from benchmark.figures.style import PRINT, SCREEN

POINTS = pd.DataFrame({"x": [0.1, 1 / 3], "y": [1, 2]})


def line(page=SCREEN):
    with mpl.rc_context(page.settings):
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot(POINTS.x, POINTS.y)
    return Drawing("line", figure, POINTS, "A line.", page)


def width(png):
    return int.from_bytes(png[16:20])


def test_files_are_three_pictures_and_the_points_with_all_their_digits():
    files = line().files()
    starts = {"line.png": b"\x89PNG", "line.pdf": b"%PDF", "line.svg": b"<?xml"}
    assert {name: files[name][: len(start)] for name, start in starts.items()} == starts
    assert list(files) == [*starts, "line.csv"]
    rows = list(csv.reader(files["line.csv"].decode().splitlines()))
    assert rows == [["x", "y"], ["0.1", "1"], [repr(1 / 3), "2"]]


@pytest.mark.parametrize("page", [SCREEN, PRINT], ids=["screen", "print"])
def test_a_picture_says_nothing_of_when_it_was_made_and_takes_no_settings_from_around_it(page):
    files = line(page).files()
    assert b"Date" not in files["line.pdf"]
    assert b"date>" not in files["line.svg"]
    with mpl.rc_context({"svg.hashsalt": "another", "pdf.fonttype": 3, "font.size": 30}):
        assert line(page).files() == files


def test_a_picture_for_print_has_the_figures_own_size_and_one_for_a_screen_that_of_what_is_drawn():
    assert width(line(PRINT).picture("png")) == 2 * 300
    wide = line()
    wide.figure.text(1.5, 0.5, "beyond the edge")
    assert width(wide.picture("png")) > 2 * 200


def test_a_drawing_is_written_under_its_name(tmp_path):
    drawing = line()
    made = drawing.write(tmp_path / "figures")
    assert {path.name: path.read_bytes() for path in made} == drawing.files()
    assert sorted((tmp_path / "figures").iterdir()) == sorted(made)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write"):
        drawing.write(tmp_path / "file")
