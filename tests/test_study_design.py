"""Booklets: balanced in conditions, questions, places and order, for any number of people."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from shrinklm.core.errors import StudyError
from shrinklm.study.design.booklets import Design, Page, places, williams


def design(
    questions: int = 48,
    conditions: int = 4,
    per_person: int = 12,
    raters: int = 3,
    kind: str = "rating",
    checks: int = 1,
    seed: int = 0,
) -> Design:
    names = tuple("ABCDEFG"[:conditions])
    return Design(
        kind, names, tuple(f"q{at}" for at in range(questions)), ("p0", "p1"), per_person, raters, checks, 5, seed
    )


def items(booklet: tuple[Page, ...]) -> list[Page]:
    return [page for page in booklet if page.kind == "item"]


SIZES = [(48, 4, 12), (50, 4, 12), (12, 4, 12), (13, 3, 9), (20, 2, 8), (17, 5, 15), (30, 1, 10), (25, 6, 18)]


@pytest.mark.parametrize(("questions", "conditions", "per_person"), SIZES)
def test_every_person_sees_every_condition_equally_often_and_no_question_twice(
    questions: int, conditions: int, per_person: int
) -> None:
    made = design(questions, conditions, per_person)
    for seat in range(3 * made.people):
        pages = items(made.booklet(seat))
        assert len({page.question for page in pages}) == per_person
        assert set(Counter(page.treatment for page in pages).values()) == {per_person // conditions}


@pytest.mark.parametrize(("questions", "conditions", "per_person"), SIZES)
@pytest.mark.parametrize("raters", [1, 3, 4])
def test_every_question_is_rated_often_enough_in_every_condition(
    questions: int, conditions: int, per_person: int, raters: int
) -> None:
    made = design(questions, conditions, per_person, raters)
    counts = places([made.booklet(seat) for seat in range(made.people)])
    assert len(counts) == questions * conditions
    assert min(counts.values()) >= raters
    assert max(counts.values()) <= raters + 1
    if questions * raters % per_person == 0:
        assert set(counts.values()) == {raters}


def test_any_number_of_people_is_balanced_to_within_one_rating() -> None:
    made = design()
    counts: Counter[tuple[str, tuple[str, ...]]] = Counter({(q, t): 0 for q in made.questions for t in made.treatments})
    for seat in range(100):
        counts.update((page.question, page.treatment) for page in items(made.booklet(seat)))
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize(("questions", "conditions", "per_person"), SIZES)
def test_whole_blocks_are_balanced_to_within_one_rating_and_parts_of_them_to_within_two(
    questions: int, conditions: int, per_person: int
) -> None:
    made = design(questions, conditions, per_person)
    counts: Counter[tuple[str, tuple[str, ...]]] = Counter({(q, t): 0 for q in made.questions for t in made.treatments})
    for seat in range(20 * conditions):
        counts.update((page.question, page.treatment) for page in items(made.booklet(seat)))
        assert max(counts.values()) - min(counts.values()) <= (1 if (seat + 1) % conditions == 0 else 2)


@pytest.mark.parametrize("conditions", [2, 3, 4, 5])
def test_every_condition_stands_in_every_place_equally_often(conditions: int) -> None:
    made = design(24, conditions, 4 * conditions)
    booklets = [items(made.booklet(seat)) for seat in range(2 * conditions)]
    counts = Counter((at, page.treatment) for booklet in booklets for at, page in enumerate(booklet))
    assert set(counts.values()) == {2}


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7])
def test_in_a_williams_square_each_follows_each_other_equally_often(n: int) -> None:
    rows = williams(n)
    follows = Counter((a, b) for row in rows for a, b in pairwise(row))
    assert len(follows) == n * (n - 1)
    assert set(follows.values()) == {1 if n % 2 == 0 else 2}
    for first in (0, len(rows) - n):
        assert all(len({row[at] for row in rows[first : first + n]}) == n for at in range(n))


def test_a_pair_stands_either_way_about_as_often() -> None:
    made = design(48, 3, 12, kind="preference")
    sides = Counter(page.treatment for seat in range(60) for page in items(made.booklet(seat)))
    assert len(sides) == 6
    for seat in range(60):
        mine = Counter(page.treatment for page in items(made.booklet(seat)))
        assert set(mine.values()) == {2}  # of four times a pair, each stands left twice
    for a, b in made.treatments:
        assert abs(sides[a, b] - sides[b, a]) < 0.35 * (sides[a, b] + sides[b, a])


def test_checks_are_spread_and_never_first_of_the_items() -> None:
    made = design(checks=3)
    for seat in range(60):
        pages = [page for page in made.booklet(seat) if page.kind != "practice"]
        at = [place for place, page in enumerate(pages) if page.kind == "check"]
        assert len(at) == 3
        assert at[0] > 0
        assert all(1 <= (pages[place].wanted or 0) <= 5 for place in at)
        assert at[0] <= 6
        assert at[2] >= 9
    assert len({page.wanted for seat in range(60) for page in made.booklet(seat) if page.kind == "check"}) == 5


def test_a_check_is_about_none_of_the_items_or_else_about_the_one_just_answered() -> None:
    for questions in (48, 12):
        made = design(questions, checks=3)
        for seat in range(30):
            pages = made.booklet(seat)
            mine = {page.question for page in items(pages)}
            for before, page in pairwise(pages):
                if page.kind == "check":
                    assert page.question in made.questions
                    assert page.question == before.question if questions == 12 else page.question not in mine


def test_practice_comes_first() -> None:
    assert [page.question for page in design().booklet(5)[:2]] == ["p0", "p1"]


def test_a_booklet_follows_from_the_seed_alone() -> None:
    assert design().booklet(37) == design().booklet(37)
    assert design().booklet(37) != design(seed=1).booklet(37)
    assert design().booklet(37) != design().booklet(38)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"per_person": 13}, "12 or 16"),
        ({"per_person": 52}, "there are 48 questions"),
        ({"kind": "preference", "conditions": ("A",), "per_person": 12}, "two or more"),
        ({"practice": ("q1",)}, "stands twice"),
    ],
)
def test_numbers_that_do_not_fit_are_told(changes: dict[str, object], says: str) -> None:
    with pytest.raises(StudyError, match=says):
        replace(design(), **changes).check()  # type: ignore[arg-type]
