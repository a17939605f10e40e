"""What is scored is cut into the tokens that were trained, whatever the tokenizer does at the borders of texts."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

from shrinklm.core.types import Example, Pair
from shrinklm.evaluation.metrics.base import Condition
from shrinklm.evaluation.probes import conditional_answers
from shrinklm.evaluation.simulate import VIEWS
from shrinklm.methods.builtin import COUNTERFACTUAL, FACTUAL, JUSTIFY, PREDICT, sentence
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.methods.view import answer_pair
from shrinklm.saliency.attribution import Question, log_probability
from shrinklm.students.causal import CausalStudent
from shrinklm.students.likeliest import choice_pairs, likeliest, likeliest_options, option_pairs
from shrinklm.students.seq2seq import Seq2SeqStudent
from student_cases import taught
from tokenizer_cases import KINDS, trained_tokenizer

OPTIONS = (
    "bank", "bank account", "U.S.", "What? Me", "5", "42 km", ".", "(a) tree", "-3", "\"quoted\"", "naïve café", "東京",
    "The answer is bank", "is", "tail ", "line\n", " lead", "a  b", "🙂",
)  # fmt: skip
EXAMPLE = Example("q", "Where is it?", OPTIONS, "bank")
EXPLANATION = "It fits, as 3 of 4 say. People put it there"
TEXTS = [
    EXAMPLE.text,
    *(f"{EXAMPLE.text}\n[predict] {view.states(option)}" for option in OPTIONS for view in (PREDICT, FACTUAL)),
    *(f"{EXPLANATION}. {FACTUAL.states(option)}" for option in OPTIONS),
] * 3


@cache
def student(kind: str, family: str = "causal", template: str = "<s> $A") -> Any:
    tokenizer = trained_tokenizer(kind, TEXTS, template)
    ids = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1}
    torch.manual_seed(0)
    if family == "seq2seq":
        t5 = T5Config(d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2, decoder_start_token_id=0, **ids)
        return Seq2SeqStudent(T5ForConditionalGeneration(t5).eval(), tokenizer)
    llama = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    return CausalStudent(LlamaForCausalLM(LlamaConfig(bos_token_id=3, **llama, **ids)).eval(), tokenizer)


def taught_pairs(example: Example, option: str) -> dict[str, tuple[Pair, list[Pair]]]:
    """View → (the pair that trains `option`, the pairs that score the options)."""
    explained = sentence(EXPLANATION)
    shown = replace(example, meta={"explanation": explained, "masked": "_"})
    views: dict[str, tuple[Pair, list[Pair]]] = {
        view.name: (Pair(view.prompt(example), f"{told}{view.states(option)}{more}"), choice_pairs(view, example, raw))
        for view, told, more, raw in (
            (PREDICT, "", "", ""),
            (COUNTERFACTUAL, "", "", ""),
            (JUSTIFY, "", f" {EXPLANATION}", ""),
            (FACTUAL, f"{explained} ", "", f"{explained} {FACTUAL.states('x')}"),
        )
    }
    for view in (VIEWS["sim_both"],):
        prompt = view.prompt(example, explained)
        views[view.name] = Pair(prompt, view.states(option)), option_pairs(prompt, view.lead, shown.choices)
    return views


def ids_of(model: Any, pair: Pair) -> tuple[list[int], list[int]]:
    """(prompt, target) of a pair in training, by the tokenizer itself: the target in one piece."""
    prompt = model.tokenizer(pair.prompt)["input_ids"]
    if isinstance(model, Seq2SeqStudent):
        return prompt, [*model.tokenizer(text_target=pair.target, add_special_tokens=False)["input_ids"], 1]
    return prompt, [*model.tokenizer(f" {pair.target}", add_special_tokens=False)["input_ids"], 1]


def read_by(model: Any, pairs: list[Pair], end: bool) -> list[tuple[list[int], list[int], int]]:
    """(prompt, target, tokens of the target that are not scored) of each pair, out of the model's tensors."""
    rows = []
    batch = model.encode([pairs], end=end)
    for index in range(len(pairs)):
        labels = batch["labels"]
        if isinstance(model, Seq2SeqStudent):
            prompt = batch["input_ids"][index][batch["attention_mask"][index] > 0].tolist()
            scored = (labels[index] >= 0).nonzero().flatten().tolist()
            target = [*batch["decoder_input_ids"][index, 1 : scored[-1] + 1].tolist(), int(labels[index, scored[-1]])]
            rows.append((prompt, target, scored[0]))
            continue
        segment = batch["segment"][0]
        branch = segment == segment[(batch["pair"][0] == index) & (segment > 0)].max()
        shared = batch["kin"][0, int(segment[branch][0])][segment] & (segment > 0) & ~branch
        read = torch.cat((batch["input_ids"][0][shared], batch["input_ids"][0][branch])).tolist()
        scored = labels[0][branch & (labels[0] >= 0)].tolist()
        prompt = len(model.tokenizer(pairs[index].prompt)["input_ids"])
        target = [*read[prompt:], scored[-1]]
        rows.append((read[:prompt], target, len(target) - len(scored)))
    return rows


FAMILIES = [*((kind, "causal", "<s> $A") for kind in KINDS), ("legacy", "causal", "<s> $A </s>")]
FAMILIES += [(kind, "seq2seq", "$A </s>") for kind in ("unigram", "legacy", "word-piece")]


@pytest.mark.parametrize(("kind", "family", "template"), FAMILIES)
def test_the_scored_tokens_are_the_trained_ones(kind: str, family: str, template: str) -> None:
    model = student(kind, family, template)
    for place, option in enumerate(OPTIONS):
        for name, (trained, scored) in taught_pairs(EXAMPLE, option).items():
            prompt, target = ids_of(model, trained)
            if place % 6 == 0:
                assert read_by(model, [trained], True) == [(prompt, target, 0)], name
            asked = scored[place]
            start, stop = asked.scored
            assert asked.target[start:stop] == asked.option == option
            assert trained.target.startswith(asked.target)
            [tokens] = model.tokenized([asked], end=False)
            assert tokens.prompt == prompt
            if not (kind == "across" and name == "justify"):  # a piece may hold the full stop and the next word
                assert tokens.target == target[: len(tokens.target)], (name, option)
            # The option stands in the scored tokens, all of it; and what is left out of it holds none of it.
            text = model.tokenizer.decode(tokens.scored)
            if kind != "word-piece" and option not in ("東京", "🙂"):
                assert option.strip() in text.replace("<unk>", ""), (name, option, text)
            if kind not in ("across", "unigram"):
                # At most the full stop more, where a piece holds both.
                assert len("".join(text.split())) <= len("".join(option.split())) + 1, (name, option, text)
    # Packed, beside the other options.
    scored = taught_pairs(EXAMPLE, "bank")["factual"][1][:5]
    for (prompt, target, given), pair in zip(read_by(model, scored, False), scored, strict=True):
        trained = ids_of(model, replace(pair, scored=None))
        assert (prompt, target) == (trained[0], trained[1][: len(target)])
        assert given < len(target)


@pytest.mark.parametrize("kind", ["legacy", "across", "byte-level"])
def test_a_likelihood_is_that_of_the_tokens_in_training(kind: str) -> None:
    model = student(kind)
    pairs = option_pairs(PREDICT.prompt(EXAMPLE), PREDICT.lead, OPTIONS)
    values = model.likelihood(pairs)
    starts = {given for _, _, given in read_by(model, pairs, False)}
    assert len(starts) == 1  # all options are scored from the same token on
    for pair, value in zip(pairs, values, strict=True):
        [tokens] = model.tokenized([pair], end=False)
        prompt, target = ids_of(model, replace(pair, scored=None))
        with torch.no_grad():
            log_p = model.model(input_ids=torch.tensor([prompt + target])).logits[0].log_softmax(-1)
        expected = sum(
            float(log_p[len(prompt) + place - 1, target[place]]) for place in range(min(starts), len(tokens.target))
        )
        assert value == pytest.approx(expected, abs=1e-4)
    question = Question(PREDICT.prompt(EXAMPLE), "bank", (), PREDICT.lead)
    assert log_probability(model, [question]) == pytest.approx(model.likelihood(pairs[:1]), abs=1e-4)


def test_an_option_that_is_no_token_is_not_the_likeliest() -> None:
    model = student("word-piece")  # its normaliser drops control characters
    assert model.likelihood([answer_pair("q", "The answer is", "\x01")]) == [float("-inf")]
    groups = [option_pairs("q", "The answer is", ["\x01", "bank"])]
    assert likeliest(model, groups, 4) == ["bank"]


@pytest.mark.parametrize("kind", ["legacy", "across", "always"])
def test_a_free_answer_goes_on_after_the_tokens_in_training(kind: str) -> None:
    model = student(kind)
    seen: list[list[int]] = []
    whole = CausalStudent(model.model, model.tokenizer)

    class Decoder:
        def stream(self, rows: Any, batch: int) -> Any:
            seen.extend(row.prompt for row in rows)
            return rows

        def text(self, tokens: list[int]) -> str:
            return ""

    asked, before = EXAMPLE.text, f"{sentence(EXPLANATION)} So the answer is"
    whole._new_decoder = Decoder  # type: ignore[method-assign, assignment]
    whole.continue_text([asked], 4, [before])
    prompt, target = ids_of(model, Pair(asked, before))
    assert seen == [prompt + target[:-1]]
    del whole
    free = replace(EXAMPLE, choices=())
    [answer] = conditional_answers(model, _Reads(), method("counterfactual"), [(free, Condition("It fits"))], 4)
    assert answer is None or isinstance(answer, str)


class _Reads:
    name, type = "reads", "free"

    def parse(self, text: str, example: Example) -> str | None:
        return text.strip() or None


def overfitted(kind: str, count: int = 12) -> tuple[Any, list[Example]]:
    """A student that knows its questions by heart."""
    names = ("bank", "bank account", "zoo", "zoo keeper in the town", "old town hall", "5", "car", "carpet")
    examples = []
    for index in range(count):
        options = tuple(names[(index + step) % len(names)] for step in range(4))
        examples.append(Example(f"q{index}", f"Where is thing {index}?", options, options[index % 4]))
    texts = [f"{one.text}\n[predict] The answer is {option}." for one in examples for option in one.choices]
    tokenizer = trained_tokenizer(kind, texts * 3)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        tie_word_embeddings=True, pad_token_id=0, eos_token_id=1, bos_token_id=3,
    )  # fmt: skip
    model = CausalStudent(LlamaForCausalLM(config), tokenizer)
    corpus = Corpus(examples, {one.id: taught(one) for one in examples}, 0)
    groups = [[item.pair for item in corpus.pairs(method("finetune"), index, 0)] for index in range(count)]
    batch = model.encode(groups)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        total, scored = model(batch)
        optimizer.zero_grad()
        (total / scored).mean().backward()
        optimizer.step()
    return model.eval(), examples


@pytest.mark.parametrize("kind", ["legacy", "across"])
def test_a_student_that_knows_its_answers_finds_likeliest_what_it_generates(kind: str) -> None:
    model, examples = overfitted(kind)
    said = model.answer([PREDICT.prompt(example) for example in examples], 12)
    assert said == [PREDICT.states(example.answer) for example in examples]
    assert likeliest_options(model, PREDICT, examples, said, 8) == [example.answer for example in examples]
