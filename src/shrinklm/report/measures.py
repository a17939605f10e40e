"""The measures that the report knows: their names, what they mean, which way is better, and their order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..evaluation.judges.sitting import PREFERRED
from .look.numbers import DASH, MINUS
from .rated import QUALITY, RATED


@dataclass(frozen=True)
class Group:
    """Measures under one heading."""

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
    """The name of its metric in the scores."""
    name: str
    group: Group
    title: str
    """Its meaning, in a sentence without its full stop."""
    better: str = ""
    """ "higher", "lower", or "" where neither is better as such."""
    share: bool = True
    """Shown in percent."""
    digits: int = 1
    unit: str = "%"
    """The label of its axis."""

    @property
    def yes_no(self) -> bool:
        """Whether each question's score is yes or no (1 or 0), so that the mean is a share of questions."""
        return self.key in _YES_NO

    @property
    def unscored(self) -> float | None:
        """What a question without a score counts; None: it is left out, for every method alike."""
        return UNSCORED.get(self.key)

    @property
    def family(self) -> str:
        """The first of the measures that are read against each other; its own key where there is no other."""
        return next((family[0] for family in _FAMILIES if self.key in family), self.key)

    @property
    def word(self) -> str:
        """The name inside a sentence: "accuracy", but "F1"."""
        return self.name if self.name[:2].isupper() else self.name[0].lower() + self.name[1:]

    def show(self, value: float) -> str:
        """A value as text."""
        text = f"{100 * value if self.share else value:.{self.digits}f}"
        # A rounded zero has no sign.
        return (text if float(text) else text.lstrip("-")).replace("-", MINUS)

    def signed(self, value: float) -> str:
        """A difference as text, with its sign."""
        text = self.show(value)
        return f"+{text}" if value > 0 and float(text) else text

    def between(self, low: float, high: float) -> str:
        """An interval as text."""
        # A dash before a minus reads badly.
        return f"{self.show(low)}{' to ' if low < 0 else DASH}{self.show(high)}"


UP, DOWN = "higher", "lower"
_FAMILIES = (
    ("cf_consistency", "cf_baseline", "cf_gain"),
    ("perturbation_drop", "perturbation_baseline"),
    ("early_aoc", "early_baseline", *(f"early_{share}" for share in (0, 25, 50, 75, 100))),
    ("filler_same", "paraphrase_same", "other_same"),
    ("tag_follows", "tag_blank", "tag_other", "tag_baseline"),
    ("reasons_follow", "reasons_baseline"),
    ("sim_question", "sim_explanation", "sim_both", "sim_explanation_masked", "sim_both_masked"),
)
"""Measures and the baselines that they are read against."""
AREAS = ("discriminator", "discriminator_cut", "discriminator_length")
"""Areas under a curve, 0 to 1: what a question adds to them may lie outside, and so may resampled means of that."""
_YES_NO = frozenset(
    {
        *("accuracy", "accuracy_likelihood", "unparsed", "cf_consistency", "cf_baseline", "filler_same"),
        *("paraphrase_same", "other_same", "reasons_follow", "reasons_baseline", *_FAMILIES[4], *_FAMILIES[6]),
        # Not early_100, which is 1 by definition.
        *("early_0", "early_25", "early_50", "early_75", "names_answer", "names_gold", "names_distractors", "leaks"),
        *("supports_predicted", "supports_gold", "supports_other", "entails_best"),
        # Where a classifier tells all texts, or none; then an area is a share of questions as well.
        *AREAS,
    }
)
"""Measures whose every score is 1 or 0. A share of words, a probability and a difference of two shares are not."""
UNSCORED = {"supports_predicted": 0.0}
"""An explanation beside an answer that cannot be read supports none. It may decide which method to take (`AXES`), so
that leaving the question out would reward a method for what cannot be read."""
_CONSTRUCTS = {
    "plausibility": "The reasons hold up",
    "understandability": "It can be followed",
    "completeness": "Nothing that matters is missing",
    "satisfaction": "The reader is content with it",
    "contrastiveness": "It tells why this answer and not another",
}
_ROSCOE = {
    "faithfulness": "Its steps are close to the question",
    "informativeness": "It and the question cover each other",
    "repetition": "Its steps differ from each other, 0 to 0.5",
    "coherence": "No step contradicts an earlier one",
}
_BERTSCORE = {"p": "precision", "r": "recall", "f": "F1"}
_OF_ANSWERS = (
    Measure("accuracy", "Accuracy", ANSWERS, "Answers right, as generated and read by the task's parser", UP),
    Measure("f1", "F1", ANSWERS, "Overlap of words with the nearest accepted answer", UP),
    Measure("accuracy_likelihood", "Accuracy by likelihood", ANSWERS, "The likeliest option is right", UP),
    Measure("unparsed", "Unparsed", ANSWERS, "Answers that could not be read; counted wrong", DOWN),
    Measure("unparsed_cut", "Unparsed: cut", ANSWERS, "Of all answers, those that the token cap cut", DOWN),
    Measure(
        "unparsed_other",
        "Unparsed: not offered",
        ANSWERS,
        "Of all answers, those that name something not offered",
        DOWN,
    ),
    Measure("unparsed_nothing", "Unparsed: nothing", ANSWERS, "Of all answers, those that state nothing", DOWN),
)
_OF_RATERS = (
    Measure(QUALITY, "Quality", RATINGS, "Mean of all constructs that were rated", UP, False, 2, "1 to 5"),
    *(
        Measure(RATED + name, name.capitalize(), RATINGS, title, UP, False, 2, "1 to 5")
        for name, title in _CONSTRUCTS.items()
    ),
    Measure(RATED + PREFERRED, "Preferred", RATINGS,
            "Pairs with another method's explanation that it wins; ties count half", UP),
)  # fmt: skip
_OF_PROBES = (
    Measure("cf_gain", "Counterfactual consistency above chance", FAITHFUL, "The next two rows' difference", UP,
            unit="points"),
    Measure("cf_consistency", "Counterfactual consistency", FAITHFUL,
            "Given the explanation of a wrong option, it answers that option", UP),
    Measure("cf_baseline", "the same by chance", FAITHFUL,
            "Given another question's explanation, it answers that option"),
    Measure("perturbation_drop", "Accuracy lost to perturbation", FAITHFUL,
            "When half of the explanation's words are exchanged", UP),
    Measure("perturbation_baseline", "the same by chance", FAITHFUL,
            "When those of another question's explanation are"),
    Measure("early_aoc", "Early answering, area over the curve", FAITHFUL,
            "How much of the explanation it needs to give its answer", UP),
    Measure("early_baseline", "the same by chance", FAITHFUL, "With another question's explanation"),
    *(
        Measure(f"early_{share}", f"answer kept at {share} %", FAITHFUL,
                f"With the first {share} % of the explanation, it answers as with all")
        for share in (0, 25, 50, 75, 100)
    ),
    Measure("filler_same", "Answer kept with filler", FAITHFUL, 'With "..." in the place of every word', DOWN),
    Measure("paraphrase_same", "Answer kept with a paraphrase", FAITHFUL,
            "With small words exchanged, the reasons kept", UP),
    Measure("other_same", "both by chance", FAITHFUL, "Answer kept with another question's explanation"),
    Measure("tag_follows", "Follows the tag", FAITHFUL,
            "Its answer changes with the view's tag while the reasons stay", DOWN),
    Measure("tag_blank", "follows it, no reasons", FAITHFUL, "The same without an explanation"),
    Measure("tag_other", "follows it, other reasons", FAITHFUL, "The same with another question's explanation"),
    Measure("tag_baseline", "the same by chance", FAITHFUL, "Its answer changes with a tag that nobody learned"),
    Measure("reasons_follow", "Follows the reasons", FAITHFUL,
            "Its answer changes with the reasons while the tag stays", UP),
    Measure("reasons_baseline", "the same by chance", FAITHFUL, "With another question's explanation"),
)  # fmt: skip
_OF_SIMULATORS = (
    Measure("las", "LAS", SIMULATED,
            "What the explanation adds for a simulator, with leaking and other explanations weighted alike", UP,
            unit="points"),
    Measure("simulatability", "Simulatability", SIMULATED, "What the explanation adds, leaks included", UP),
    Measure("sim_question", "from the question", SIMULATED, "A simulator says the student's answer from the question"),
    Measure("sim_explanation", "from the explanation", SIMULATED, "From the explanation alone: it leaks the answer"),
    Measure("sim_both", "from both", SIMULATED, "From the question with the explanation"),
    Measure("las_masked", "LAS, options masked", SIMULATED,
            "With the names of the options taken out of the explanation", UP),
    Measure("simulatability_masked", "Simulatability, options masked", SIMULATED, "The same without weights", UP),
    Measure("sim_explanation_masked", "from the masked explanation", SIMULATED,
            "A simulator says the answer from it alone"),
    Measure("sim_both_masked", "from both, masked", SIMULATED, "From the question with it"),
)  # fmt: skip
_OF_SUPPORT = (
    Measure("supports_predicted", "Support for its own answer", SUPPORT,
            "The option it argues for is the one it came with", UP),
    Measure("supports_gold", "Argues for the right answer", SUPPORT, "The option it argues for is the right one", UP),
    Measure("supports_other", "Argues for another option", SUPPORT,
            "It argues for an option that the student does not answer", DOWN),
    Measure("names_answer", "Names its own answer", SUPPORT, "The student's answer stands in it", UP),
    Measure("names_gold", "Names the right answer", SUPPORT, "The right answer stands in it", UP),
    Measure("names_distractors", "Names another option", SUPPORT,
            "An option that the student does not answer stands in it"),
    Measure("argues_against", "Options set aside", SUPPORT,
            "Other options that it rejects by name, a count", "", False, 2),
    Measure("entails_predicted", "Entails its own answer", SUPPORT, "Probability, by an entailment model", UP),
    Measure("entails_gold", "Entails the right answer", SUPPORT, "Probability, by an entailment model", UP),
    Measure("entails_best", "Entails its own answer most", SUPPORT, "No other option is more probable", UP),
    Measure("contradicts_predicted", "Contradicts its own answer", SUPPORT,
            "Probability, by an entailment model", DOWN),
    Measure("leaks", "Gives the answer away", SUPPORT, 'It says the answer as an answer ("the answer is ...")'),
)  # fmt: skip
_OF_WORDING = (
    Measure("length", "Words", WORDING, "Mean length", "", False),
    Measure("contrast_markers", "Contrast markers", WORDING, 'Words such as "unlike", a count', "", False, 2),
    Measure("hedges", "Hedges", WORDING, 'Words such as "may", a count', "", False, 2),
    Measure("copies", "Copied from the question", WORDING, "Words that stand in runs of three of the question"),
    Measure("repetition", "Said again", WORDING, "Runs of three words that are not new"),
    Measure("reading_ease", "Reading ease", WORDING, "Flesch's, about 0 to 100; more is easier", "", False),
    Measure("grade", "School grade", WORDING, "Flesch and Kincaid's", "", False),
)
_OF_LIKENESS = (
    Measure("bleu", "BLEU", LIKENESS, "Overlap of runs of words, 0 to 100", "", False),
    Measure(
        "rougeL",
        "ROUGE-L",
        LIKENESS,
        "Longest common subsequence of words (rouge-score; words by Unicode), 0 to 100",
        "",
        False,
    ),
    Measure("similarity", "Similarity of meaning", LIKENESS, "Cosine of sentence embeddings", "", False, 2),
    *(
        Measure(f"bertscore_{part}", f"BERTScore {name}", LIKENESS, "Greedy matching of token embeddings", "", False, 2)
        for part, name in _BERTSCORE.items()
    ),
    *(Measure(f"roscoe_{part}", f"ROSCOE {part}", LIKENESS, title, "", False, 2) for part, title in _ROSCOE.items()),
    Measure(
        "discriminator",
        "Told from the reference",
        LIKENESS,
        "Area under the ROC curve of a classifier that learned from other questions; 50 by chance",
    ),
    Measure(
        "discriminator_chance",
        "the same by chance, up to",
        LIKENESS,
        "95 % of classifiers that learned exchanged labels stay at or below it",
    ),
    Measure(
        "discriminator_p",
        "p of chance",
        LIKENESS,
        "Share of classifiers that learned exchanged labels and tell as well",
        "",
        False,
        3,
    ),
    Measure(
        "discriminator_cut",
        "told at equal length",
        LIKENESS,
        "The same for texts cut to as many words in each question; 50 by chance",
    ),
    Measure(
        "discriminator_length",
        "told by length alone",
        LIKENESS,
        "The same of the number of words; below 50 where the references are the shorter ones",
    ),
)
MEASURES = {
    known.key: known
    for known in (
        *(*_OF_ANSWERS, *_OF_RATERS, *_OF_PROBES, *_OF_SIMULATORS),
        *(*_OF_SUPPORT, *_OF_WORDING, *_OF_LIKENESS),
    )
}
"""Key → measure, in the order of the table."""


def measure_of(key: str) -> Measure:
    """The measure of that key; an unknown one gets a measure that is named after its key."""
    if key in MEASURES:
        return MEASURES[key]
    if key.startswith(RATED):
        name = key.removeprefix(RATED)
        return replace(MEASURES[QUALITY], key=key, name=name.capitalize(), title="As the raters were asked")
    return Measure(key, key, OTHER, "As its metric gives it", "", False, 2, "")


def ordered(keys: Iterable[str]) -> list[Measure]:
    """The measures of those keys, each once, in the order of the table."""
    position = {key: index for index, key in enumerate(MEASURES)}
    groups = list(dict.fromkeys([*(known.group for known in MEASURES.values()), OTHER]))
    ranked = sorted(dict.fromkeys(keys), key=lambda key: (position.get(key, len(position)), key))
    # Constructs that raters scored and the table does not know still stand with the other ratings.
    return sorted(map(measure_of, ranked), key=lambda entry: groups.index(entry.group))
