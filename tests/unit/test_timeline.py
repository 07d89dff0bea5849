"""The layout of the timeline, and the picture that the template makes of it."""

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
from django.template.loader import render_to_string

from board_app.history.ticks import ticks_of
from board_app.history.timeline import (
    ACTIVE,
    CHART,
    LABELS,
    LEAST_WIDTH,
    LETTER,
    ROW,
    TOP,
    Held,
    lay_out,
    shortened,
)

ZONE = ZoneInfo("UTC")
START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
END = START + 10 * HOUR


def held(key, begin, end, lane="A", how="released", text="ada"):
    """A session from one hour of the picture to another one; it has not ended if that is None."""
    ended = None if end is None else START + end * HOUR
    return Held(
        key,
        (lane,),
        lane,
        text,
        f"{text} {key}",
        START + begin * HOUR,
        ended,
        how if ended else ACTIVE,
    )


def drawn(*sessions, now=END, **options):
    return lay_out(sessions, START, END, now, ZONE, **options)


def bars_of(layout):
    return {bar.key: bar for lane in layout.lanes for bar in lane.bars}


def test_a_bar_stands_where_its_time_is():
    bar = bars_of(drawn(held("a", 2, 5)))["a"]
    assert (bar.x, bar.width) == (LABELS + CHART * 0.2, CHART * 0.3)
    assert not bar.cut_left
    assert not bar.cut_right


def test_what_goes_on_beyond_the_picture_is_cut_and_marked():
    bars = bars_of(drawn(held("a", -5, 1), held("b", 9, 12, "B"), held("c", -1, 11, "C")))
    ends = {key: (bar.x, bar.end_x, bar.cut_left, bar.cut_right) for key, bar in bars.items()}
    left, right = float(LABELS), float(LABELS + CHART)
    assert ends == {
        "a": (left, left + CHART / 10, True, False),
        "b": (right - CHART / 10, right, False, True),
        "c": (left, right, True, True),
    }


def test_what_is_held_ends_now_and_goes_on():
    bar = bars_of(drawn(held("a", 2, None), now=START + 4 * HOUR))["a"]
    assert (bar.how, bar.end_x, bar.cut_right) == (ACTIVE, LABELS + CHART * 0.4, True)


def test_what_is_outside_is_left_out_and_not_counted_as_such():
    layout = drawn(held("early", -3, -1), held("late", 10, 11), held("in", 1, 2))
    assert bars_of(layout).keys() == {"in"}
    assert (layout.left_out, layout.lanes_left_out) == (0, 0)


@pytest.mark.parametrize("begin", [0, 5, 9.9999])
def test_a_second_is_seen_and_stays_inside(begin):
    bar = bars_of(drawn(held("a", begin, begin + 1 / 3600)))["a"]
    assert bar.width == LEAST_WIDTH
    assert LABELS <= bar.x <= LABELS + CHART - LEAST_WIDTH


def test_one_after_the_other_is_one_row_and_overlapping_ones_have_rows_of_their_own():
    layout = drawn(
        held("a", 1, 3), held("b", 3, 5), held("c", 2, 4), held("d", 2, None), held("e", 5, 6)
    )
    [lane] = layout.lanes
    rows = {bar.key: int((bar.y - TOP) // ROW) for bar in lane.bars}
    assert rows == {"a": 0, "b": 0, "c": 1, "d": 2, "e": 0}
    assert lane.height == 3 * ROW
    assert layout.height > TOP + 3 * ROW


def test_lanes_are_sorted_and_do_not_touch():
    layout = drawn(held("a", 1, 3, "B"), held("b", 1, 3, "A"), held("c", 2, 4, "A"))
    assert [(lane.label, lane.y, lane.height) for lane in layout.lanes] == [
        ("A", TOP, 2 * ROW),
        ("B", TOP + 2 * ROW, ROW),
    ]


def test_of_too_many_lanes_those_held_now_and_the_latest_are_drawn():
    ended = [held(f"e{number}", number, number + 0.5, f"E{number}") for number in range(6)]
    layout = drawn(*ended, held("now", 0, None, "Z"), most_rows=3)
    assert [lane.label for lane in layout.lanes] == ["E4", "E5", "Z"]
    assert (layout.left_out, layout.lanes_left_out) == (4, 4)


def test_a_single_lane_has_no_more_rows_than_there_may_be():
    layout = drawn(*(held(f"a{number}", 1, 3) for number in range(5)), most_rows=2)
    assert (layout.bars, layout.left_out, layout.lanes_left_out) == (2, 3, 0)
    assert layout.lanes[0].height == 2 * ROW


def test_now_is_marked_where_it_is_in_the_picture():
    assert drawn(now=START + 5 * HOUR).now_x == LABELS + CHART / 2
    assert drawn(now=END + HOUR).now_x is None


def test_the_label_of_a_late_time_ends_with_the_picture():
    end = START + timedelta(days=6, hours=1)
    layout = lay_out([], START, end, end, ZONE)
    *others, last = layout.marks
    assert last.x + LETTER * len(last.label) / 2 > layout.width
    assert last.text_x + LETTER * len(last.label) / 2 == pytest.approx(layout.width)
    assert [mark.text_x for mark in others] == [mark.x for mark in others]
    picture = render_to_string("board/history/timeline.svg", {"layout": layout})
    assert f'x="{last.text_x:.1f}" y="16">{last.label}' in picture


def test_the_legend_says_what_is_shown():
    layout = drawn(
        held("a", 1, 2),
        held("b", 3, None),
        held("c", 2.5, 3, how="expired"),
        held("d", 20, 21, how="idle"),
    )
    assert layout.hows == [ACTIVE, "expired", "released"]


@pytest.mark.parametrize(
    ("letters", "text"), [(9, "Sketch001"), (7, "Sketch…"), (4, "Ske…"), (3, ""), (-1, "")]
)
def test_a_text_is_shortened_or_left_out(letters, text):
    assert shortened("Sketch001", letters * LETTER + 1) == text


# Changes of the clocks, and a leap year, too.
@pytest.mark.parametrize(
    ("zone", "start", "span", "labels"),
    [
        ("UTC", START, timedelta(minutes=5), ["Mon 2 Mar", *(f"00:0{n}" for n in range(1, 5))]),
        ("UTC", START, 8 * HOUR, ["Mon 2 Mar", *(f"0{n}:00" for n in range(1, 8))]),
        (
            "Europe/Berlin",
            START,
            7 * 24 * HOUR,
            [
                "Tue 3 Mar",
                "Wed 4 Mar",
                "Thu 5 Mar",
                "Fri 6 Mar",
                "Sat 7 Mar",
                "Sun 8 Mar",
                "Mon 9 Mar",
            ],
        ),
        (
            "Europe/Berlin",
            datetime(2026, 3, 28, 23, tzinfo=UTC),
            6 * HOUR,
            ["Sun 29 Mar", "01:00", "03:00", "04:00", "05:00", "06:00"],
        ),
        (
            "Europe/Berlin",
            datetime(2026, 10, 24, 22, tzinfo=UTC),
            6 * HOUR,
            ["Sun 25 Oct", "01:00", "02:00", "03:00", "04:00"],
        ),
        (
            "UTC",
            datetime(2024, 1, 1, tzinfo=UTC),
            timedelta(days=366),
            ["Jan 2024", "Mar 2024", "May 2024", "Jul 2024", "Sep 2024", "Nov 2024"],
        ),
    ],
)
def test_ticks_are_round_in_the_readers_zone(zone, start, span, labels):
    assert [tick.label for tick in ticks_of(start, start + span, ZoneInfo(zone))] == labels


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"])
@pytest.mark.parametrize("hours", [0.2, 1, 5, 24, 30, 72, 24 * 7, 24 * 30, 24 * 91, 24 * 366])
def test_there_are_some_ticks_but_not_too_many_and_none_twice(zone, hours):
    start = datetime(2011, 12, 28, 7, 13, tzinfo=UTC)
    end = start + hours * HOUR
    times = [tick.at for tick in ticks_of(start, end, ZoneInfo(zone))]
    assert 1 <= len(times) <= 12
    assert times == sorted(set(times))
    assert start <= times[0]
    assert times[-1] < end


NASTY = "</title><script>alert(1)</script>&\"'"


def test_the_picture_is_xml_and_escapes_every_name():
    layout = drawn(
        held("s-1", 1, 9, NASTY, "force_released", NASTY),
        held("s-2", 2, None, "Ä/ü", text="Ada Lovelace"),
    )
    text = render_to_string("board/history/timeline.svg", {"layout": layout})
    picture = ElementTree.fromstring(text)
    assert "<script" not in text
    links = list(picture.iter("a"))
    assert [one.get("href") for one in links] == ["#s-1", "#s-2"]
    assert links[0].get("aria-label") == links[0].findtext("title") == f"{NASTY} s-1"
    assert NASTY in {one.text for one in picture.iter("title")}
    assert {"force_released", "active"} <= {one.get("class") for one in links}


def test_the_picture_needs_no_style_and_no_script_in_it():
    layout = drawn(*(held(str(number), number, number + 1, how="expired") for number in range(9)))
    text = render_to_string("board/history/timeline.svg", {"layout": layout})
    assert not re.search(r"\sstyle=|<style|<script|\son[a-z]+=", text)


def test_each_end_has_a_pattern_of_its_own():
    """So that they can be told apart without colours. What was released is the one without a pattern."""
    from sessions_app.models import EndReason

    text = render_to_string("board/history/timeline.svg", {"layout": drawn()})
    assert set(re.findall(r'id="p-(\w+)"', text)) == set(EndReason.values) - {"released"}
