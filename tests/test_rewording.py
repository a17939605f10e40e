from __future__ import annotations

from shrinklm.evaluation.metrics.rewording import paraphrased


def test_small_words_change_and_reasons_stay():
    said = "Beavers often need large places because this is not easy, for example."
    assert paraphrased(said) == "Beavers frequently require big locations given that this isn't simple, for instance."


def test_capitals_stay_and_parts_of_words_do_not_change():
    assert paraphrased("Because he placed the bigger one.") == "Given that he placed the bigger one."


def test_options_stay_as_they_are():
    assert paraphrased("Many go to a big place.", keep=("big place", "zoo")) == "A lot of go to a big place."


def test_a_text_of_other_words_is_left_alone():
    assert paraphrased("dam wood water", ("wood",)) == "dam wood water"
