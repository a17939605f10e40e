"""Every measure of the report that has a name of its own: what it is called, what it says, which way is better, where it stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .look.words import DASH, MINUS
from .rated import PREFERRED, QUALITY, RATED

CONSTRUCTS = ("plausibility", "understandability", "completeness", "satisfaction", "contrastiveness")


@dataclass(frozen=True)
class Group:
    """Measures that stand together."""

    name: str
    note: str = ""
    """What to know before reading them."""


ANSWERS = Group("Answers")
RATINGS = Group("Ratings", "from 1 to 5, by judges or people who did not know the method")
FAITHFUL = Group("Faithfulness", "does the answer follow the explanation, or would any text have done?")
SIMULATED = Group("Simulatability", "does the explanation tell somebody else what the student answers?")
SUPPORT = Group("Support", "which answer does the explanation argue for, by the options it names?")
WORDING = Group("Wording", "describes, and does not say what is good")
LIKENESS = Group("Likeness to the reference explanation", "measures imitation, not quality")
OTHER = Group("Other measures")


@dataclass(frozen=True)
class Measure:
    """One number about a method."""

    key: str
    """Name of the metric in the scores."""
    name: str
    group: Group
    title: str
    """What it means, in a sentence without its full stop."""
    better: str = ""
    """ "higher", "lower", or "" where neither is better as such."""
    share: bool = True
    """Shown in percent."""
    digits: int = 1
    unit: str = "%"
    """What its axis is labelled with."""

    def show(self, value: float) -> str:
        """A value as text."""
        text = f"{100 * value if self.share else value:.{self.digits}f}"
        return (text if float(text) else text.lstrip("-")).replace("-", MINUS)

    def signed(self, value: float) -> str:
        """A difference as text, with its sign."""
        text = self.show(value)
        return f"+{text}" if value > 0 and float(text) else text

    def between(self, low: float, high: float) -> str:
        """An interval as text."""
        return f"{self.show(low)}{' to ' if low < 0 else DASH}{self.show(high)}"


def _measures() -> Iterable[Measure]:
    up, down = "higher", "lower"
    yield Measure("accuracy", "Accuracy", ANSWERS, "Answers right, as generated and read by the task's parser", up)
    yield Measure("f1", "F1", ANSWERS, "Overlap of words with the nearest accepted answer", up)
    yield Measure("accuracy_likelihood", "Accuracy by likelihood", ANSWERS, "The likeliest option is right", up)
    yield Measure("unparsed", "Unparsed", ANSWERS, "Answers that could not be read; counted wrong", down)
    points = {"share": False, "digits": 2, "unit": "1 to 5"}
    yield Measure(QUALITY, "Quality", RATINGS, "Mean of all constructs that were rated", up, **points)  # type: ignore[arg-type]
    for name in CONSTRUCTS:
        yield Measure(RATED + name, name.capitalize(), RATINGS, _CONSTRUCTS[name], up, **points)  # type: ignore[arg-type]
    yield Measure(
        RATED + PREFERRED,
        "Preferred",
        RATINGS,
        "Pairs with another method's explanation that it wins; ties count half",
        up,
    )
    yield Measure(
        "cf_gain",
        "Counterfactual consistency above chance",
        FAITHFUL,
        "The next two rows' difference",
        up,
        unit="points",
    )
    yield Measure(
        "cf_consistency",
        "Counterfactual consistency",
        FAITHFUL,
        "Given the explanation of a wrong option, it answers that option",
        up,
    )
    yield Measure(
        "cf_baseline", "the same by chance", FAITHFUL, "Given another question's explanation, it answers that option"
    )
    yield Measure(
        "perturbation_drop",
        "Accuracy lost to perturbation",
        FAITHFUL,
        "When half of the explanation's words are exchanged",
        up,
    )
    yield Measure(
        "perturbation_baseline", "the same by chance", FAITHFUL, "When those of another question's explanation are"
    )
    yield Measure(
        "early_aoc",
        "Early answering, area over the curve",
        FAITHFUL,
        "How much of the explanation it needs to give its answer",
        up,
    )
    yield Measure("early_baseline", "the same by chance", FAITHFUL, "With another question's explanation")
    for share in (0, 25, 50, 75, 100):
        yield Measure(
            f"early_{share}",
            f"answer kept at {share} %",
            FAITHFUL,
            f"With the first {share} % of the explanation, it answers as with all",
        )
    yield Measure("filler_same", "Answer kept with filler", FAITHFUL, 'With "..." in the place of every word', down)
    yield Measure(
        "paraphrase_same", "Answer kept with a paraphrase", FAITHFUL, "With small words exchanged, the reasons kept", up
    )
    yield Measure("other_same", "both by chance", FAITHFUL, "Answer kept with another question's explanation")
    yield Measure(
        "tag_follows",
        "Follows the tag",
        FAITHFUL,
        "Its answer changes with the view's tag while the reasons stay",
        down,
    )
    yield Measure("tag_blank", "follows it, no reasons", FAITHFUL, "The same without an explanation")
    yield Measure("tag_other", "follows it, other reasons", FAITHFUL, "The same with another question's explanation")
    yield Measure("tag_baseline", "the same by chance", FAITHFUL, "Its answer changes with a tag that nobody learned")
    yield Measure(
        "reasons_follow", "Follows the reasons", FAITHFUL, "Its answer changes with the reasons while the tag stays", up
    )
    yield Measure("reasons_baseline", "the same by chance", FAITHFUL, "With another question's explanation")
    yield Measure(
        "las",
        "LAS",
        SIMULATED,
        "What the explanation adds for a simulator, with leaking and other explanations weighted alike",
        up,
        unit="points",
    )
    yield Measure("simulatability", "Simulatability", SIMULATED, "What the explanation adds, leaks included", up)
    yield Measure(
        "sim_question", "from the question", SIMULATED, "A simulator says the student's answer from the question"
    )
    yield Measure(
        "sim_explanation", "from the explanation", SIMULATED, "From the explanation alone: it leaks the answer"
    )
    yield Measure("sim_both", "from both", SIMULATED, "From the question with the explanation")
    yield Measure(
        "las_masked", "LAS, options masked", SIMULATED, "With the names of the options taken out of the explanation", up
    )
    yield Measure("simulatability_masked", "Simulatability, options masked", SIMULATED, "The same without weights", up)
    yield Measure(
        "sim_explanation_masked", "from the masked explanation", SIMULATED, "A simulator says the answer from it alone"
    )
    yield Measure("sim_both_masked", "from both, masked", SIMULATED, "From the question with it")
    yield Measure(
        "supports_predicted",
        "Support for its own answer",
        SUPPORT,
        "The option it argues for is the one it came with",
        up,
    )
    yield Measure(
        "supports_gold", "Argues for the right answer", SUPPORT, "The option it argues for is the right one", up
    )
    yield Measure(
        "supports_other",
        "Argues for another option",
        SUPPORT,
        "It argues for an option that the student does not answer",
        down,
    )
    yield Measure("names_answer", "Names its own answer", SUPPORT, "The student's answer stands in it", up)
    yield Measure("names_gold", "Names the right answer", SUPPORT, "The right answer stands in it", up)
    yield Measure(
        "names_distractors", "Names another option", SUPPORT, "An option that the student does not answer stands in it"
    )
    yield Measure(
        "argues_against", "Options set aside", SUPPORT, "Other options that it rejects by name, a count", "", False, 2
    )
    yield Measure("entails_predicted", "Entails its own answer", SUPPORT, "Probability, by an entailment model", up)
    yield Measure("entails_gold", "Entails the right answer", SUPPORT, "Probability, by an entailment model", up)
    yield Measure("entails_best", "Entails its own answer most", SUPPORT, "No other option is more probable", up)
    yield Measure(
        "contradicts_predicted", "Contradicts its own answer", SUPPORT, "Probability, by an entailment model", down
    )
    yield Measure("leaks", "Gives the answer away", SUPPORT, 'It says the answer as an answer ("the answer is ...")')
    yield Measure("length", "Words", WORDING, "Mean length", "", False)
    yield Measure("contrast_markers", "Contrast markers", WORDING, 'Words such as "unlike", a count', "", False, 2)
    yield Measure("hedges", "Hedges", WORDING, 'Words such as "may", a count', "", False, 2)
    yield Measure("copies", "Copied from the question", WORDING, "Words that stand in runs of three of the question")
    yield Measure("repetition", "Said again", WORDING, "Runs of three words that are not new")
    yield Measure("reading_ease", "Reading ease", WORDING, "Flesch's, about 0 to 100; more is easier", "", False)
    yield Measure("grade", "School grade", WORDING, "Flesch and Kincaid's", "", False)
    yield Measure("bleu", "BLEU", LIKENESS, "Overlap of runs of words, 0 to 100", "", False)
    yield Measure("rougeL", "ROUGE-L", LIKENESS, "Longest common subsequence of words, 0 to 100", "", False)
    yield Measure("similarity", "Similarity of meaning", LIKENESS, "Cosine of sentence embeddings", "", False, 2)
    for part, name in (("p", "precision"), ("r", "recall"), ("f", "F1")):
        yield Measure(
            f"bertscore_{part}", f"BERTScore {name}", LIKENESS, "Greedy matching of token embeddings", "", False, 2
        )
    for part, about in _ROSCOE.items():
        yield Measure(f"roscoe_{part}", f"ROSCOE {part}", LIKENESS, about, "", False, 2)


_CONSTRUCTS = {
    "plausibility": "The reasons hold up", "understandability": "It can be followed", "completeness": "Nothing that matters is missing",
    "satisfaction": "The reader is content with it", "contrastiveness": "It tells why this answer and not another",
}  # fmt: skip
_ROSCOE = {
    "faithfulness": "Its steps are close to the question", "informativeness": "It and the question cover each other",
    "repetition": "Its steps differ from each other, 0 to 0.5", "coherence": "No step contradicts an earlier one",
}  # fmt: skip
MEASURES = {measure.key: measure for measure in _measures()}
"""In the order of the table."""


def measure(key: str) -> Measure:
    """The measure of that name; one that is not known is shown as it is."""
    if key in MEASURES:
        return MEASURES[key]
    if key.startswith(RATED):
        name = key.removeprefix(RATED)
        return replace(MEASURES[QUALITY], key=key, name=name.capitalize(), title="As the raters were asked")
    return Measure(key, key, OTHER, "As its metric gives it", "", False, 2, "")


def ordered(keys: Iterable[str]) -> list[Measure]:
    """The measures of those names in the order of the table."""
    place = {key: at for at, key in enumerate(MEASURES)}
    groups = list(dict.fromkeys([*(known.group for known in MEASURES.values()), OTHER]))
    found = sorted(dict.fromkeys(keys), key=lambda key: (place.get(key, len(place)), key))
    return sorted(map(measure, found), key=lambda one: groups.index(one.group))
