"""A student in scikit-learn's manner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from shrinklm import ShrunkClassifier
from shrinklm.core.errors import RecipeError, StudentError

TEXTS = [f"The {thing} was {word}." for thing in ("tea", "day", "book") for word in ("good", "bad")]
LABELS = [1, 0] * 3


def small(**options: object) -> ShrunkClassifier:
    return ShrunkClassifier(**{"examples": 48, "batch": 8, "learning_rate": 3e-3, **options})  # type: ignore[arg-type]


def test_it_learns_labels_and_tells_their_probabilities(tmp_path: Path) -> None:
    fitted = small(folder=tmp_path).fit(TEXTS, LABELS)
    assert fitted.classes_.tolist() == [0, 1]
    found = fitted.predict_proba(TEXTS)
    assert found.shape == (6, 2)
    assert np.allclose(found.sum(axis=1), 1)
    assert (fitted.predict(TEXTS) == fitted.classes_[found.argmax(axis=1)]).all()
    assert fitted.score(TEXTS, LABELS) == np.mean(fitted.predict(TEXTS) == LABELS)
    frame = pd.DataFrame({"question": TEXTS})
    assert np.array_equal(fitted.predict_proba(frame), found)
    assert np.array_equal(small(folder=tmp_path).fit(frame, pd.Series(LABELS)).predict_proba(TEXTS), found)
    with pytest.raises(StudentError, match="Text 2 got no probabilities: "):
        fitted.predict(["short", "long " * 2000])
    assert fitted.predict_proba([]).shape == (0, 2)


def test_what_is_read_with_a_text() -> None:
    rows = [{"question": "Is it so?", "page": page} for page in ("Yes, it is.", "No, never.")]
    fitted = small(examples=8).fit(rows, ["yes", "no"])
    assert "Page: Yes, it is." in fitted.student_.answering.answer.prompt(fitted_example(fitted, rows[0]))
    assert set(fitted.predict(pd.DataFrame(rows))) <= {"yes", "no"}


def fitted_example(fitted: ShrunkClassifier, row: dict[str, str]) -> object:
    from shrinklm.deploy.questions import example_of

    return example_of({**row, "choices": ["no", "yes"]}, fitted.student_.answering)


def test_the_conventions_of_scikit_learn() -> None:
    one = small(student="tiny:seq2seq")
    other = ShrunkClassifier(**one.get_params())
    assert other.get_params() == one.get_params()
    assert other.set_params(examples=9) is other
    assert (one.examples, other.examples) == (48, 9)
    with pytest.raises(ValueError, match="no parameter 'epochs'"):
        one.set_params(epochs=1)
    with pytest.raises(RecipeError, match="two or more"):
        one.fit(["a"], ["x"])
    sklearn = pytest.importorskip("sklearn.base")
    assert sklearn.clone(one).get_params() == one.get_params()
    assert sklearn.is_classifier(one)
