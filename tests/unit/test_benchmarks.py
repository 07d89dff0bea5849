"""What `make bench` makes of its figures; nothing is measured here."""

import os
import tomllib
from xml.etree import ElementTree

import pytest

from benchmarks import machine, picture, ratios, report, results
from benchmarks.figures import FIGURES, NOW, TODAY
from benchmarks.measures import MEASURES
from benchmarks.results import Taken


def best(**slower):
    """Figures of the service beside floors of 1.0, slower by these factors."""
    found = {}
    for key, floor in ratios.BESIDE.items():
        times = slower.get(key, 1.0)
        found[key, floor] = 1.0
        found[key, NOW] = 1 / times if FIGURES[key].more else times
    return found


@pytest.mark.parametrize("key", ratios.BESIDE)
def test_twice_as_slow_beside_the_floor_is_told(key):
    kept = dict.fromkeys(ratios.BESIDE, 1.0)
    assert ratios.too_slow(best(**{key: 1.9}), kept) == []
    assert ratios.too_slow(best(**{key: 2.1}), kept) == [key]


def test_what_was_not_measured_on_both_sides_is_not_judged():
    kept, found = dict.fromkeys(ratios.BESIDE, 1.0), best(told_best=9.0)
    del found["told_best", ratios.BESIDE["told_best"]]
    assert ratios.too_slow(found, kept) == []
    assert ratios.ratios(found).keys() == ratios.BESIDE.keys() - {"told_best"}


def test_what_others_use_is_what_we_do_not():
    cores = os.cpu_count()
    seen = machine.Window(busy=0.75, seconds=10.0)
    assert seen.others(ours=5.0 * cores) == 0.25


def test_every_ratio_is_kept_and_measured():
    kept = tomllib.loads(ratios.KEPT.read_text())["ratios"]
    assert kept.keys() == ratios.BESIDE.keys() == ratios.TAKEN.keys()
    assert set(ratios.TAKEN.values()) <= MEASURES.keys()
    assert ratios.BESIDE.keys() >= ratios.PASSING


def test_kept_ratios_are_written_as_they_are_read():
    found = dict.fromkeys(ratios.BESIDE, 12.5)
    assert tomllib.loads(ratios.as_file(found, "2 cores"))["ratios"] == found


@pytest.mark.parametrize(("now", "reached"), [(400.0, True), (399.0, False)])
def test_a_goal_in_times_of_the_earlier_build(now, reached):
    assert FIGURES["pairs_32"].is_reached({NOW: now, TODAY: 10.0}) is reached


def test_a_goal_beside_what_was_not_measured_is_open():
    assert FIGURES["pairs_32"].is_reached({NOW: 400.0}) is None


def test_the_table_has_median_spread_and_what_is_beside():
    taken = Taken("2026-01-31", "2 cores", "full")
    for value in (200.0, 100.0, 300.0):
        taken.add(NOW, {"pairs_32": value})
    taken.add(TODAY, {"pairs_32": 20.0})
    taken.add("raw table", {"pairs_32": 5000.0})
    [_, row] = report.rows({"pairs": taken})
    assert row[1:] == [
        "20.0",
        "200 (100 to 300)",
        "10.0",
        "at least 40 x 1da8013",
        "**no**",
        "raw table 5,000",
    ]


def test_the_page_shows_the_kept_results():
    kept, page = results.load(), report.PAGE.read_text()
    renew = "make bench BENCH=--redraw"
    assert report.page(page, kept) == page, renew
    assert picture.FILE.read_text() == picture.drawn(kept), renew


def test_the_picture_has_a_bar_for_each_subject_and_a_line_at_the_goal():
    taken = Taken("2026-01-31", "2 cores", "full")
    for name, value in {NOW: 200.0, TODAY: 20.0, "<peer> & co": 1600.0}.items():
        taken.add(name, {"pairs_32": value})
    root = ElementTree.fromstring(picture.drawn({"pairs": taken}))
    svg = "{http://www.w3.org/2000/svg}"
    said = [element.text for element in root.iter(f"{svg}text")]
    assert said == [
        "acquire + release, 32 clients, pairs/s (more is better)",
        *(NOW, "200", TODAY, "20.0", "<peer> & co", "1,600", "goal 800"),
    ]
    _, *bars = [float(element.get("width")) for element in root.iter(f"{svg}rect")]
    assert bars == [bars[2] / 8, bars[2] / 80, bars[2]]
    assert root.find(f"{svg}path").get("d").startswith(f"M{picture.LEFT + bars[2] / 2:.1f} ")
