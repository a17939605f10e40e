"""The questions that a stage asks: what of them is in its key, and which dev questions are asked during training."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.types import Example, digest
from ...evaluation.metrics.answers import accepted


def question_key(example: Example) -> tuple[object, ...]:
    """What the answer to a question, and whether it is right, depends on."""
    about = (example.id, example.text, example.answer)
    # Of a question with options the gold one alone is right. Without further answers the key is as version 0.1.0 wrote
    # it, which had none of them.
    further = () if example.choices else accepted(example)[1:]
    return (*about, list(further)) if further else about


def dev_sample(dev: Sequence[Example], most: int, seed: int) -> list[Example]:
    """At most `most` dev questions, in their order: all of them, or a seeded sample in which each label has its share.

    The label of a question is the position of its gold option: with fixed labels the label itself, with options of its
    own the place, which must not pile up either. Free answers have one label. Which questions are drawn depends on the
    seed and their ids alone, not on their order in the file.
    """
    if len(dev) <= most:
        return list(dev)
    strata: dict[int, list[Example]] = {}
    for example in sorted(dev, key=lambda example: digest("dev", seed, example.id)):
        label = example.choices.index(example.answer) if example.answer in example.choices else -1
        strata.setdefault(label, []).append(example)
    # Largest remainders: whole numbers that are nearest to each label's share and add up.
    shares = {label: most * len(examples) / len(dev) for label, examples in strata.items()}
    rest = most - sum(int(share) for share in shares.values())
    ranked = sorted(shares, key=lambda label: (int(shares[label]) - shares[label], label))
    counts = {label: int(shares[label]) + (label in ranked[:rest]) for label in shares}
    drawn = {example.id for label, examples in strata.items() for example in examples[: counts[label]]}
    return [example for example in dev if example.id in drawn]
