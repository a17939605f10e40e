"""What a recipe is refused for before anything is paid."""

from __future__ import annotations

from typing import Any

import pytest

from shrinklm.core.errors import RecipeError
from shrinklm.run.recipe import Recipe

LEAST: dict[str, Any] = {"name": "a", "task": {"use": "everyday"}, "student": "tiny", "teacher": {"use": "fake"}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": {"seeds": 3}}, "train.seeds: must be a list: [3] for that seed, [0, 1, 2] for three (found '3')"),
        ({"train": {"seeds": "0, 1"}}, "train.seeds: must be a list: [0, 1, 2] for three trainings (found '0, 1')"),
        ({"train": {"seeds": [0, 0]}}, "train.seeds: names 0 twice: each seed is one training. Write each once: [0]"),
        ({"train": {"seeds": [2, 0, 2, 0]}}, "train.seeds: names 2, 0 twice: each seed is one training. Write each"),
        (
            {"train": {"seeds": [0, -1]}},
            "train.seeds: a seed is a whole number from 0 to 4294967295, not -1 (found '[0, -1]')",
        ),
        ({"train": {"seeds": [2**32]}}, "train.seeds: a seed is a whole number from 0 to 4294967295, not 4294967296"),
        ({"train": {"seeds": [True]}}, "train.seeds: a seed is a whole number from 0 to 4294967295, not True"),
        ({"salient": {"finetune": {"seeds": [1, 1]}}}, "salient.finetune.seeds: names 1 twice"),
        ({"evaluate": {"simulator": {"use": "tiny", "seed": -1}}}, "evaluate.simulator.seed: a seed is a whole number"),
        ({"evaluate": {"metrics": "length"}}, "evaluate.metrics: must be a list: [length] (found 'length')"),
        ({"methods": "finetune"}, "methods: must be a list: [finetune] (found 'finetune')"),
        (
            {"student": [{"use": "tiny", "name": "a b"}, {"use": "tiny", "name": "a:b"}]},
            "are called the same: a b, a:b",
        ),
    ],
)
def test_lists_of_a_recipe_that_are_none_and_seeds_that_are_none(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse({**LEAST, **changes})
    assert said in str(caught.value)


def test_the_smallest_and_the_largest_seed_are_taken() -> None:
    assert Recipe.parse({**LEAST, "train": {"seeds": [0, 2**32 - 1]}}).train.seeds == (0, 4294967295)
