"""Attribution: against captum and finite differences, one question at a time; batches; words; the model afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients, Saliency
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from shrinklm.core.errors import StudentError
from shrinklm.core.marking import words
from shrinklm.core.types import Example, Pair
from shrinklm.saliency.attribution import (
    Attribution,
    AttributionSettings,
    Kind,
    Question,
    attribute,
    log_probability,
)
from shrinklm.students.causal import CausalStudent
from shrinklm.students.seq2seq import Seq2SeqStudent
from student_cases import TYPES, fresh, many
from test_students import causal

FAMILIES = ["tiny", "tiny:seq2seq"]


def attributing(method: Kind = "gradient", **settings: Any) -> AttributionSettings:
    return AttributionSettings(method, **{"norm": "l2", "pieces": "max", "steps": 32, **settings})


METHODS = [
    attributing(),
    attributing(norm="l1", pieces="sum"),
    attributing("input_x_gradient"),
    # A T5 of random weights is rough, and would take the most steps there are for every question.
    attributing("integrated_gradients", steps=5, most_steps=10, pieces="sum"),
    attributing("occlusion"),
    attributing("attention"),
]
NAMES = [f"{settings.method} {settings.norm}" for settings in METHODS]
FOREIGN = Example(
    "foreign",
    "Is the café's “déjà-vu” 😀 crème-fun, or 日本語 (boring)?",
    ("smörgås 😀", "co-op", "日本 語", "it's fine"),
    "smörgås 😀",
)


def asked(example: Example) -> Question:
    return Question(f"{example.text}\n[predict]", example.answer, words(example), "The answer is")


QUESTIONS = [asked(example) for example in (*TYPES.values(), FOREIGN, *many(3))]


def double(spec: str) -> Any:
    """A student that computes in float64 throughout: transformers' own norms go through float32."""
    student = fresh(spec).double().requires_grad_(False)
    for module in list(student.model.modules()):
        for name, child in list(module.named_children()):
            if type(child).__name__.endswith(("RMSNorm", "T5LayerNorm")):
                norm = nn.RMSNorm(64, getattr(child, "variance_epsilon", None), dtype=torch.float64)
                norm.weight = child.weight
                setattr(module, name, norm)
    return student


@pytest.fixture(scope="module", params=FAMILIES)
def student(request: pytest.FixtureRequest) -> Any:
    return double(request.param)


# The plain way: one question on its own, transformers' model and nothing else


class Plain:
    """F of one question as a function of the embeddings of its prompt."""

    def __init__(self, student: Any, question: Question) -> None:
        self.model, tokenizer = student.model, student.tokenizer
        self.prompt = tokenizer(question.prompt)["input_ids"]
        space = "" if isinstance(student, Seq2SeqStudent) else " "
        lead = tokenizer(space + question.lead)["input_ids"] if question.lead else []
        self.target = torch.tensor(
            tokenizer(f"{space}{question.lead} {question.label}" if lead else space + question.label)["input_ids"]
        )
        self.given = len(lead)
        self.encoder = isinstance(student, Seq2SeqStudent)

    def embeddings(self) -> Tensor:
        return self.model.get_input_embeddings()(torch.tensor([self.prompt])).detach().requires_grad_()

    def inputs(self, embeddings: Tensor) -> dict[str, Tensor]:
        rows = len(embeddings)
        if self.encoder:
            start = torch.tensor([self.model.config.decoder_start_token_id])
            return {
                "inputs_embeds": embeddings,
                "decoder_input_ids": torch.cat([start, self.target[:-1]]).expand(rows, -1),
            }
        target = self.model.get_input_embeddings()(self.target).expand(rows, -1, -1)
        return {"inputs_embeds": torch.cat([embeddings, target], 1)}

    def __call__(self, embeddings: Tensor) -> Tensor:
        logits = self.model(**self.inputs(embeddings)).logits
        logits = logits if self.encoder else logits[:, len(self.prompt) - 1 : -1]
        each = logits.log_softmax(-1).gather(-1, self.target.expand(len(embeddings), -1)[..., None])[..., 0]
        return each[:, self.given :].sum(-1)

    def value(self) -> float:
        with torch.no_grad():
            return float(self(self.embeddings()))


def spelled(student: Any, question: Question) -> list[list[int]]:
    """The tokens of each word, from the lengths of the tokens: one character of a byte-level token is one byte."""
    sizes = [
        len(token) for token in student.tokenizer.convert_ids_to_tokens(student.tokenizer(question.prompt)["input_ids"])
    ]
    ends = [sum(sizes[: place + 1]) for place in range(len(sizes))]
    assert ends[-1] == len(question.prompt.encode())
    spans = [tuple(len(question.prompt[:at].encode()) for at in (word.start, word.end)) for word in question.words]
    return [[at for at, end in enumerate(ends) if end > first and end - sizes[at] < last] for first, last in spans]


def by_word(student: Any, question: Question, tokens: Tensor, pieces: str = "max") -> list[float]:
    found = [tokens.detach()[places] for places in spelled(student, question)]
    return [float(some.sum() if pieces == "sum" else some[some.abs().argmax()]) for some in found]


def one(student: Any, question: Question, method: Any = "gradient", **settings: Any) -> Attribution:
    return attribute(student, [question], attributing(method, **settings))[0]


def same(found: Any, expected: Any, within: float = 1e-6) -> None:
    torch.testing.assert_close(torch.tensor(found).double(), torch.tensor(expected).double(), atol=within, rtol=within)


@pytest.mark.parametrize("pieces", ["max", "sum"])
@pytest.mark.parametrize("question", QUESTIONS[:6], ids=lambda question: question.label)
def test_gradients_are_those_of_captum_on_the_plain_model(student: Any, question: Question, pieces: Any) -> None:
    plain = Plain(student, question)
    gradient = Saliency(plain).attribute(plain.embeddings(), abs=False)[0]
    product = InputXGradient(plain).attribute(plain.embeddings())[0]
    for norm in (1, 2):
        found = one(student, question, norm=f"l{norm}", pieces=pieces)
        same(found.scores, by_word(student, question, gradient.norm(norm, -1), pieces))
        same(found.value, plain.value())
    signed = one(student, question, "input_x_gradient", pieces=pieces).scores
    same(signed, by_word(student, question, product.sum(-1), pieces))
    assert min(signed) < 0 < max(signed)


def test_gradients_are_central_differences(student: Any) -> None:
    question = asked(TYPES["yesno"])
    plain = Plain(student, question)
    at, step = plain.embeddings().detach(), 1e-5
    gradient = torch.zeros(at.shape[1:], dtype=torch.float64)
    for token in {token for places in spelled(student, question) for token in places}:
        moved = torch.zeros(at.shape[2], *at.shape[1:], dtype=torch.float64)
        moved[:, token] = torch.eye(at.shape[2]) * step
        gradient[token] = (plain(at + moved) - plain(at - moved)) / (2 * step)
    same(one(student, question, norm="l2").scores, by_word(student, question, gradient.norm(2, -1)), 1e-4)
    same(one(student, question, norm="l1").scores, by_word(student, question, gradient.norm(1, -1)), 1e-4)
    same(
        one(student, question, "input_x_gradient").scores, by_word(student, question, (gradient * at[0]).sum(-1)), 1e-4
    )


# Integrated gradients


def zeroed(student: Any, question: Question, embeddings: Tensor) -> Tensor:
    baseline = embeddings.clone()
    baseline[:, [token for places in spelled(student, question) for token in places]] = 0
    return baseline


@pytest.mark.parametrize("question", [QUESTIONS[0], QUESTIONS[4]], ids=["choice", "foreign"])
def test_integrated_gradients_are_those_of_captum_on_the_plain_model(student: Any, question: Question) -> None:
    plain = Plain(student, question)
    inputs = plain.embeddings()
    parts = IntegratedGradients(plain).attribute(inputs, zeroed(student, question, inputs), n_steps=7)[0].sum(-1)
    for pieces in ("max", "sum"):
        found = one(student, question, "integrated_gradients", steps=7, most_steps=7, pieces=pieces)
        same(found.scores, by_word(student, question, parts, pieces))


def test_integrated_gradients_add_up_and_say_when_they_do_not(student: Any) -> None:
    question = QUESTIONS[0]
    plain = Plain(student, question)
    inputs = plain.embeddings()
    with torch.no_grad():
        moved = float(plain(inputs) - plain(zeroed(student, question, inputs)))
    # A T5 of random weights is rough along the way from zeros.
    many_steps, small = (1024, 0.01) if isinstance(student, Seq2SeqStudent) else (64, 1e-6)
    errors = {}
    for steps in (1, 2, many_steps):
        found = one(student, question, "integrated_gradients", steps=steps, most_steps=steps, pieces="sum")
        errors[steps] = found.figures["completeness_error"]
        assert errors[steps] == pytest.approx(abs(sum(found.scores) - moved) / abs(moved), rel=0.01, abs=1e-6)
        if steps < many_steps:
            largest = one(student, question, "integrated_gradients", steps=steps, most_steps=steps, pieces="max")
            assert largest.figures == found.figures  # of tokens, however they make words
    assert errors[many_steps] < small
    assert min(errors[1], errors[2]) > 10 * small


def test_steps_are_doubled_for_each_question_until_it_adds_up(student: Any) -> None:
    settings = attributing("integrated_gradients", steps=1, most_steps=64, pieces="sum")
    found = attribute(student, QUESTIONS[:3], settings)
    for each, question in zip(found, QUESTIONS[:3], strict=True):
        error, steps = each.figures["completeness_error"], each.figures["steps"]
        assert error <= 0.05 or steps == 64
        alone = one(student, question, "integrated_gradients", steps=steps, most_steps=steps, pieces="sum")
        same(each.scores, alone.scores, 1e-5)  # whatever its neighbours needed
        if steps > 1:
            fewer = one(student, question, "integrated_gradients", steps=steps // 2, most_steps=1, pieces="sum")
            assert fewer.figures["completeness_error"] > max(0.05, error)
    assert max(each.figures["steps"] for each in found) > 1


# Occlusion and attention


def test_occlusion_asks_again_without_the_word(student: Any) -> None:
    question = asked(FOREIGN)
    texts = [
        question.prompt.replace(" the café's", " café's"), question.prompt.replace(" café's", ""),
        question.prompt.replace("“déjà-vu”", "“”"), question.prompt.replace("(d) it's", "(d)"),
    ]  # fmt: skip
    found = one(student, question, "occlusion")
    names = [word.text for word in question.words]
    same(found.value, Plain(student, question).value())
    for name, text in zip(("the", "café's", "déjà-vu", "it's"), texts, strict=True):
        without = Plain(student, replace(question, prompt=text))
        same(found.scores[names.index(name)], found.value - without.value())


def test_attention_is_that_of_a_plain_eager_forward(student: Any) -> None:
    for question in QUESTIONS[:6]:
        plain = Plain(student, question)
        student.model.set_attn_implementation("eager")
        with torch.no_grad():
            out = plain.model(**plain.inputs(plain.embeddings()), output_attentions=True)
        student.model.set_attn_implementation("sdpa")
        layers = torch.stack(list(out.cross_attentions if plain.encoder else out.attentions))[:, 0].mean((0, 1))
        saying = layers[plain.given :] if plain.encoder else layers[len(plain.prompt) - 1 + plain.given : -1]
        assert len(saying) == len(plain.target) - plain.given
        same(
            one(student, question, "attention", pieces="sum").scores, by_word(student, question, saying.mean(0), "sum")
        )


def test_attention_to_all_of_a_prompt_is_whole(student: Any) -> None:
    question = QUESTIONS[0]
    whole = words(Example("all", question.prompt.replace("\n", " "), (), ""))[0]
    every = replace(whole, start=0, end=len(question.prompt))
    found = one(student, replace(question, words=[every]), "attention", pieces="sum").scores[0]
    if isinstance(student, Seq2SeqStudent):
        assert found == pytest.approx(1)
    else:
        assert 0.5 < found < 1  # what has been said of the target is read too
        first = one(student, replace(question, words=[every], label="stone", lead=""), "attention", pieces="sum")
        assert len(student.target_ids("stone", end=False)) == 1
        assert first.scores[0] == pytest.approx(1)


# Batches


@pytest.mark.parametrize("settings", METHODS, ids=NAMES)
def test_a_batch_is_each_question_alone(student: Any, settings: AttributionSettings) -> None:
    long = asked(Example("long", "Why " + "is a very long river wide " * 12 + "?", ("rain", "sun"), "rain"))
    batch = [*QUESTIONS[:4], long, *QUESTIONS[4:6]]
    together = attribute(student, batch, settings)
    for question, found in zip(batch, together, strict=True):
        alone = attribute(student, [question], settings)[0]
        assert len(found.scores) == len(question.words)
        same(found.scores, alone.scores, 1e-5)
        same(found.value, alone.value, 1e-5)
        if found.figures:
            assert found.figures["completeness_error"] == pytest.approx(
                alone.figures["completeness_error"], abs=1e-5, rel=0.01
            )
    backwards = attribute(student, batch[::-1], settings)[::-1]
    for found, other in zip(together, backwards, strict=True):
        same(found.scores, other.scores, 1e-5)


@pytest.mark.parametrize(
    ("spec", "within"), [("tiny", 1e-5), ("tiny:seq2seq", 1e-3)]
)  # a T5 of random weights magnifies rounding
def test_a_batch_is_each_question_alone_in_float32(spec: str, within: float) -> None:
    student = fresh(spec)
    for settings in METHODS:
        for question, found in zip(QUESTIONS[:6], attribute(student, QUESTIONS[:6], settings), strict=True):
            same(found.scores, attribute(student, [question], settings)[0].scores, within)


@pytest.mark.parametrize("spec", FAMILIES)
def test_half_precision_gives_nearly_the_same(spec: str) -> None:
    exact, half = fresh(spec), fresh(spec).to(torch.bfloat16)
    for settings in (attributing(), attributing("attention")):
        for found, expected in zip(
            attribute(half, QUESTIONS[:5], settings), attribute(exact, QUESTIONS[:5], settings), strict=True
        ):
            ranks = torch.tensor([found.scores, expected.scores]).argsort(-1).argsort(-1).double()
            assert torch.corrcoef(ranks)[0, 1] > 0.9
            assert found.value == pytest.approx(expected.value, rel=0.02)
    assert half.model.config._attn_implementation == "sdpa"


def test_many_questions_keep_their_order(student: Any) -> None:
    batch = [asked(example) for example in many(40)]
    found = attribute(student, batch, attributing())
    values = log_probability(student, batch)
    for place in (0, 17, 39):
        plain = Plain(student, batch[place])
        same(found[place].value, plain.value())
        same(values[place], found[place].value)
        same(found[place].scores, one(student, batch[place]).scores, 1e-5)


def test_nothing_asked_is_nothing_found(student: Any) -> None:
    for settings in METHODS:
        assert attribute(student, [], settings) == []
        bare = attribute(student, [replace(QUESTIONS[0], words=()), QUESTIONS[1]], settings)
        assert bare[0].scores == ()
        same(bare[1].scores, attribute(student, [QUESTIONS[1]], settings)[0].scores)
    assert log_probability(student, []) == []


def test_a_caller_without_gradients_gets_them_all_the_same(student: Any) -> None:
    expected = one(student, QUESTIONS[0]).scores
    with torch.no_grad():
        assert one(student, QUESTIONS[0]).scores == expected
    with torch.inference_mode():
        assert one(student, QUESTIONS[0]).scores == expected


@pytest.mark.parametrize("kind", ["qwen2", "gpt2", "gemma2"])
def test_other_architectures(kind: str) -> None:
    student = causal(kind).double().requires_grad_(False)
    for question, found in zip(QUESTIONS[:6], attribute(student, QUESTIONS[:6], attributing()), strict=True):
        plain = Plain(student, question)
        gradient = Saliency(plain).attribute(plain.embeddings(), abs=False)[0]
        same(found.scores, by_word(student, question, gradient.norm(2, -1)), 1e-5)
    for question, found in zip(QUESTIONS[:6], attribute(student, QUESTIONS[:6], attributing("attention")), strict=True):
        same(found.scores, one(student, question, "attention").scores, 1e-5)


# The lead


def test_the_lead_is_read_and_not_scored(student: Any) -> None:
    """Log p of lead and label = log p of the lead + log p of the label after the lead."""
    whole = replace(QUESTIONS[0], label="The answer is open field", lead="")
    lead = replace(QUESTIONS[0], label="The answer is", lead="")
    both, first, second = log_probability(student, [whole, lead, QUESTIONS[0]])
    assert both == pytest.approx(first + second)
    assert second != pytest.approx(log_probability(student, [replace(QUESTIONS[0], lead="")])[0])
    pairs = [Pair(question.prompt, question.label) for question in (whole, lead)]
    same(student.likelihood(pairs), [both, first], 1e-5)


# Words


def test_words_are_found_among_punctuation_and_in_other_scripts(student: Any) -> None:
    question = asked(FOREIGN)
    places = dict(zip([word.text for word in question.words], spelled(student, question), strict=True))
    assert {
        "café's",
        "déjà-vu",
        "crème-fun",
        "日",
        "本",
        "語",
        "boring",
        "smörgås",
        "co-op",
        "the",
        "Is",
    } <= places.keys()
    assert len(places["日"]) == 3  # bytes: three tokens stand for one character
    assert len(places["the"]) == 1
    assert not {token for some in places.values() for token in some} >= set(
        range(len(student.prompt_ids(question.prompt)))
    )
    scores = dict(zip(places, one(student, question).scores, strict=False))
    assert min(scores.values()) > 0


def pieces_student(family: str, own: str) -> Any:
    """A student with a tokenizer like T5's and Llama's (▁ for the blank before a piece) and `own` special tokens."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>", "<s>"]
    trainer = trainers.UnigramTrainer(vocab_size=130, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator([question.prompt for question in QUESTIONS] * 3 + ["The answer is"], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=own, special_tokens=[("</s>", 1), ("<s>", 3)])
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    ids = {"vocab_size": len(made), "pad_token_id": 0, "eos_token_id": 1}
    torch.manual_seed(0)
    if family == "causal":
        return CausalStudent(LlamaForCausalLM(LlamaConfig(**LLAMA, **ids)).eval().double(), made)
    return Seq2SeqStudent(T5ForConditionalGeneration(T5Config(**T5, **ids)).eval().double(), made)


LLAMA: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "bos_token_id": 3,
}
T5: dict[str, Any] = {
    "d_model": 32,
    "d_kv": 16,
    "d_ff": 64,
    "num_layers": 1,
    "num_heads": 2,
    "decoder_start_token_id": 0,
}


@pytest.mark.parametrize(("family", "own"), [("causal", "<s> $A"), ("seq2seq", "$A </s>")])
def test_words_of_pieces_with_blanks_and_with_the_models_own_tokens(family: str, own: str) -> None:
    student = pieces_student(family, own)
    for question in QUESTIONS:
        ids = student.prompt_ids(question.prompt)
        tokens = student.tokenizer.convert_ids_to_tokens(ids)
        inside = [place for place, token in enumerate(tokens) if token not in ("<s>", "</s>")]
        assert len(inside) == len(ids) - 1
        ends = [
            sum(len(tokens[place]) for place in inside[: count + 1]) - 1 for count in range(len(inside))
        ]  # less the ▁ put first
        assert ends[-1] == len(question.prompt)
        starts = [0, *ends[:-1]]
        table = student.model.get_input_embeddings()
        embeddings = table(torch.tensor([ids])).detach().requires_grad_()
        target = torch.tensor([student.target_ids(f"{question.lead} {question.label}", end=False)])
        given = len(student.target_ids(question.lead, end=False))
        if family == "seq2seq":
            start = torch.cat([torch.tensor([[0]]), target[:, :-1]], 1)
            logits = student.model(inputs_embeds=embeddings, decoder_input_ids=start).logits
        else:
            logits = student.model(inputs_embeds=torch.cat([embeddings, table(target)], 1)).logits[:, len(ids) - 1 : -1]
        value = logits.log_softmax(-1).gather(-1, target[..., None])[0, given:].sum()
        norms = torch.autograd.grad(value, embeddings)[0][0].norm(2, -1)
        expected = []
        for word in question.words:
            places = [inside[at] for at in range(len(inside)) if starts[at] < word.end and ends[at] > word.start]
            expected.append(float(norms[places].max()))
        same(one(student, question).scores, expected, 1e-5)


# What is left behind


def state(student: Any) -> tuple[Any, ...]:
    learning = [weight.requires_grad for weight in student.parameters()]
    modes = [module.training for module in student.modules()]
    return learning, modes, student.model.config._attn_implementation, [weight.grad for weight in student.parameters()]


@pytest.mark.parametrize("spec", FAMILIES)
@pytest.mark.parametrize("settings", METHODS, ids=NAMES)
def test_the_model_is_left_as_it_was(spec: str, settings: AttributionSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    calm = attribute(fresh(spec), QUESTIONS[:3], settings)
    student = fresh(spec).train()  # T5 drops out a tenth in training
    next(student.model.parameters()).requires_grad_(False)
    before = state(student)
    same([found.value for found in attribute(student, QUESTIONS[:3], settings)], [found.value for found in calm], 1e-5)
    assert state(student) == before
    assert before[2] == "sdpa"

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no more")

    monkeypatch.setattr(student, "attentions" if settings.method == "attention" else "logits", broken)
    with pytest.raises(RuntimeError, match="no more"):
        attribute(student, QUESTIONS[:3], settings)
    assert state(student) == before


def test_adapters_are_read_through() -> None:
    plain, adapted = fresh(), fresh(lora=4)  # adapters start as nothing
    for settings in METHODS:
        expected = attribute(plain, QUESTIONS[:3], settings)
        for found, other in zip(attribute(adapted, QUESTIONS[:3], settings), expected, strict=True):
            same(found.scores, other.scores, 1e-5)
    assert {name.rpartition("lora_")[1] for name, weight in adapted.named_parameters() if weight.requires_grad} == {
        "lora_"
    }


# What cannot be asked


def test_a_question_too_long_is_refused() -> None:
    student = fresh()
    long = replace(QUESTIONS[0], prompt=QUESTIONS[0].prompt + " very long" * 1200)
    for settings in METHODS:
        with pytest.raises(StudentError, match="does not fit the student's 2048"):
            attribute(student, [QUESTIONS[1], long], settings)
    with pytest.raises(StudentError, match="Nothing is cut"):
        log_probability(student, [long])


@pytest.mark.parametrize("spec", FAMILIES)
def test_a_tokenizer_that_cannot_say_where_its_tokens_stand(spec: str) -> None:
    student = fresh(spec)
    fast = student.tokenizer

    class Slow:
        is_fast = False

        def __getattr__(self, name: str) -> Any:
            return getattr(fast, name)

        def __call__(self, *args: Any, **options: Any) -> Any:
            assert "return_offsets_mapping" not in options
            return fast(*args, **options)

    expected = one(student, QUESTIONS[0], "occlusion")
    student.tokenizer = Slow()
    with pytest.raises(StudentError, match=r"tokenizer Slow does not say where its tokens stand.*tokenizer\.json"):
        one(student, QUESTIONS[0])
    assert one(student, QUESTIONS[0], "occlusion") == expected  # texts suffice
