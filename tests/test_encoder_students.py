"""Students that choose among options: encoders of several kinds, trained, saved, asked and refused."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from architectures import ENCODERS, saved, saved_encoder
from shrinklm import Recipe, Run
from shrinklm.core.errors import ModelError, ShrinkError, StudentError
from shrinklm.core.marking import words
from shrinklm.core.types import Example, Pair
from shrinklm.methods.builtin import PREDICT, SALIENT
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.saliency.attribution import AttributionSettings, Question, attribute
from shrinklm.students.likeliest import likeliest_options, option_likelihoods, option_pairs
from shrinklm.students.open import load_student
from shrinklm.students.training.train import train_student
from student_cases import OPTIONS, TYPES, corpus, fresh, generation, many, opened, train_settings

STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.1}
"""Settings of a BERT without dropout, whose layers count from the start."""

FREE: dict[str, Any] = {"use": "table", "train": "free.jsonl", "test": 0.5}
FREE["columns"] = {name: name for name in ("id", "question", "answer")}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved_encoder("bert", tmp_path_factory.mktemp("bert") / "mini", 400, **STILL)


def trained(use: str, folder: Path, shown: Corpus, name: str = "finetune", tick: Any = None, **keys: Any) -> Any:
    """(student, fit) of a training."""
    common = {"batch": 8, "learning_rate": 4e-3, "precision": "fp32", "checkpoints": 0, "curve": 0}
    settings = train_settings(**{**common, **keys})
    return train_student(lambda: opened(use), shown, method(name), settings, folder, tick=tick)


def questions(count: int, seed: int) -> list[Example]:
    """Which of two options is right hangs on the question and on the option together."""
    draw, found = random.Random(seed), []
    kinds = {"animal": ("cat", "dog", "cow", "horse", "mouse", "bear"), "tool": ("saw", "axe", "drill", "rake", "file")}
    for index in range(count):
        options = {kind: draw.choice(names) for kind, names in kinds.items()}
        kind = draw.choice(list(kinds))
        shown = draw.sample(list(options.values()), 2)
        found.append(Example(f"{seed}-{index}", f"Which one is {kind}?", tuple(shown), options[kind]))
    return found


def right(student: Any, asked: Sequence[Example]) -> float:
    said = student.say(PREDICT, asked, 50)
    return float(np.mean([reply.raw == PREDICT.states(each.answer) for reply, each in zip(said, asked, strict=True)]))


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_of_each_kind_are_trained_saved_and_read_again(name: str, tmp_path: Path) -> None:
    use = saved_encoder(name, tmp_path / name)
    before = {key: weight.clone() for key, weight in fresh(use).state_dict().items()}
    student, fit = trained(use, tmp_path, corpus(8), "random-tokens", examples=16, learning_rate=1e-3)
    assert (fit.steps, fit.pairs, fit.unbuilt) == (2, {"predict": 16, "salient": 16}, {})
    assert not torch.equal(before["head.weight"], student.state_dict()["head.weight"])
    student.save(tmp_path / "student")
    loaded = load_student(tmp_path / "student", "float32")
    asked = [*many(6), TYPES["choice"]]
    assert loaded.reading == student.reading
    for view in (PREDICT, SALIENT):
        assert loaded.say(view, asked, 3) == student.say(view, asked, 3)
    # Rows of a batch change nothing of one another, and what is said is what is likeliest.
    values = option_likelihoods(loaded, PREDICT, asked, [""] * 7, 7)
    for example, row in zip(asked, values, strict=True):
        [alone] = option_likelihoods(loaded, PREDICT, [example], [""], 1)
        assert alone == pytest.approx(row, abs=1e-4)
        assert sum(np.exp(value / len(option)) for option, value in row.items()) == pytest.approx(1, abs=1e-5)
    likeliest = likeliest_options(loaded, PREDICT, asked, [""] * 7, 7)
    assert [reply.raw for reply in loaded.say(PREDICT, asked, 7)] == [PREDICT.states(str(each)) for each in likeliest]
    assert likeliest == likeliest_options(loaded, PREDICT, asked, [""] * 7, 7, per_character=False)


def test_the_loss_is_the_cross_entropy_of_the_right_option_by_hand(bert: str) -> None:
    student, example = fresh(bert).double(), many(1)[0]
    pairs = option_pairs(PREDICT.prompt(example), PREDICT.lead, example.choices)
    scores = []
    for pair in pairs:
        row = student.tokenizer(pair.prompt, pair.option, return_tensors="pt")
        states = student.model(**row).last_hidden_state[0]
        scores.append(states.mean(0) @ student.head.weight[0])
    expected = -torch.stack(scores).log_softmax(0)
    torch.testing.assert_close(student.loss(pairs), expected, atol=1e-12, rtol=0)
    assert student.likelihood(pairs) == pytest.approx((-expected).tolist(), abs=1e-12)
    # The same question twice is two questions, and so is another one beside it.
    other = option_pairs(PREDICT.prompt(many(2)[1]), PREDICT.lead, OPTIONS)
    assert student.likelihood([*pairs, *pairs, *other])[5:10] == pytest.approx((-expected).tolist(), abs=1e-12)


def test_words_that_are_marked_are_a_loss_over_the_tokens_of_words_by_hand(bert: str) -> None:
    student, example = fresh(bert).double(), TYPES["choice"]
    pair = Pair(SALIENT.prompt(example), "kite field")
    row = student.tokenizer(pair.prompt, return_tensors="pt", return_offsets_mapping=True)
    spans = row.pop("offset_mapping")[0].tolist()
    odds = student.model(**row).last_hidden_state[0] @ student.head.weight[1] + student.head.bias
    terms = []
    for value, (start, end) in zip(odds, spans, strict=True):
        said = [word for word in ("kite", "fly", "cellar", "open", "field", "river", "bed") if word in pair.prompt]
        own = ("Question", "Choices", "a", "b", "c", "salient")  # words of the prompt, of which "a" carries grammar
        for word in [*said, *own]:
            place = pair.prompt.find(f"({word})") + 1 if len(word) == 1 else pair.prompt.find(word)
            if (
                word != "a"
                and start < end
                and place
                <= next(at for at in range(start, end) if not pair.prompt[at].isspace() or at == end - 1)
                < place + len(word)
            ):
                terms.append(torch.nn.functional.softplus(-value if word in ("kite", "field") else value))
    torch.testing.assert_close(student.loss([pair])[0], torch.stack(terms).mean(), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("random-tokens", ("loss/predict", "loss/salient")),
        ("finetune:options=margin", ("loss/predict", "loss/options=margin")),
    ],
)
def test_passes_of_a_step_change_neither_its_loss_nor_its_gradient(
    bert: str, tmp_path: Path, name: str, parts: tuple[str, ...]
) -> None:
    lines = []
    for micro in (1, 8, None):
        trained(bert, tmp_path / str(micro), corpus(8), name, examples=8, micro_batch=micro)
        [line] = (tmp_path / str(micro) / "train.jsonl").read_text().splitlines()
        lines.append({key: value for key, value in json.loads(line).items() if "loss" in key or key == "grad_norm"})
    assert set(lines[0]) == {"loss", "grad_norm", *parts}
    assert min(lines[0].values()) > 0
    for other in lines[1:]:
        assert other == pytest.approx(lines[0], rel=1e-5)


def test_a_training_that_was_interrupted_ends_with_the_same_bytes(tmp_path: Path) -> None:
    use = saved_encoder("distilbert", tmp_path / "mini")  # with dropout

    def stop(what: str, done: int, total: int, note: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    whole, _ = trained(use, tmp_path / "whole", corpus(8), examples=32, checkpoints=4)
    with pytest.raises(KeyboardInterrupt):
        trained(use, tmp_path / "cut", corpus(8), tick=stop, examples=32, checkpoints=4)
    resumed, fit = trained(use, tmp_path / "cut", corpus(8), examples=32, checkpoints=4)
    assert fit.steps == 4
    for name, weight in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], weight), name


def test_it_learns_what_question_and_option_say_together_and_nothing_from_shuffled_answers(
    bert: str, tmp_path: Path
) -> None:
    asked, shown = questions(200, 7), questions(200, 0)
    draw = random.Random(1)
    control = [replace(each, answer=draw.choice(each.choices)) for each in shown]
    accuracy = {}
    for name, examples in (("right", shown), ("control", control)):
        student, fit = trained(bert, tmp_path / name, Corpus(examples, {}), examples=600, batch=20)
        assert not fit.diverged
        accuracy[name] = right(student, asked)
    assert accuracy["right"] > 0.9
    assert accuracy["control"] < 0.65


def test_it_learns_which_words_are_marked(bert: str, tmp_path: Path) -> None:
    shown = questions(60, 0)
    # The third content word of each: the first option, whatever it is.
    slots = {
        each.id: {("salient", each.answer): generation(each, "salient", each.answer, marked_first(each))}
        for each in shown
    }
    student, _ = trained(bert, tmp_path, Corpus(shown, slots), "salient:top=1", examples=240, batch=20)
    asked = questions(40, 3)
    view = method("salient:top=1").explain
    said = student.say(view, asked, 16)
    assert np.mean([reply.raw == each.choices[0] for reply, each in zip(said, asked, strict=True)]) > 0.9


def marked_first(example: Example) -> str:
    from shrinklm.core.marking import mark

    return mark(example, [float(word.part == "(a)") for word in words(example)], example.answer).dump()


def test_answers_that_are_none_of_the_options_are_counted(bert: str, tmp_path: Path) -> None:
    examples = [*many(6), Example("odd", "Which one?", ("only this",), "only this")]
    _, fit = trained(bert, tmp_path, Corpus(examples, {}), examples=12, batch=6)
    assert fit.pairs == {"predict": 12}
    assert fit.unbuilt == {"predict": {"an answer that is none of several options": 2}}


def test_what_moved_an_option_is_told_by_its_score(bert: str) -> None:
    student, example = fresh(bert), TYPES["choice"]
    question = Question(PREDICT.prompt(example), example.answer, words(example), PREDICT.lead)
    [gradient] = attribute(student, [question], AttributionSettings("gradient", "l2", "max", 1))
    pair = Pair(question.prompt, "", example.answer)
    batch = student.encode([[pair]])
    embeddings = student.model.get_input_embeddings()(batch["input_ids"]).detach().requires_grad_()
    score = student.attributed({**batch, "inputs_embeds": embeddings}, 1)[0]
    score.backward()
    size = embeddings.grad[0].norm(dim=-1)
    kite = next(index for index, word in enumerate(words(example)) if word.text == "kite")
    place = question.prompt.index("kite")
    spans = student.offsets(question.prompt)
    held = [at for at, (start, end) in enumerate(spans) if place < end and start < place + len("kite")]
    assert gradient.value == pytest.approx(score.item(), abs=1e-6)
    assert gradient.scores[kite] == pytest.approx(max(size[at].item() for at in held), abs=1e-6)
    [cut] = attribute(student, [question], AttributionSettings("occlusion", "l2", "max", 1))
    assert all(np.isfinite(cut.scores))


def recipe(root: Path, use: str, **keys: Any) -> Recipe:
    base = {
        "name": "r",
        "task": {"use": "everyday", "limit": {"train": 16, "dev": 4, "test": 6}},
        "teacher": {"use": "fake"},
        "generate": ["random-tokens"],
        "methods": ["finetune", "random-tokens"],
        "student": {"use": use},
        "train": {"examples": 16, "batch": 8, "curve": 1, "checkpoints": 1, "learning_rate": 1e-3, "max_length": 256},
        "evaluate": {"batch": 8, "metrics": ["accuracy", "accuracy_likelihood", "copies", "faithfulness"]},
    }
    return Recipe.parse({**base, **keys}).model_copy(update={"root": root})


def test_a_run_from_the_recipe_to_an_answer_and_to_a_teacher(bert: str, tmp_path: Path) -> None:
    keys = {"methods": ["random-tokens"]}
    run = Run(recipe(tmp_path, bert, **keys))
    run.generate()
    run.train()
    run.evaluate()
    cell = run.folder / "cells" / "random-tokens--mini--s0"
    assert [each.name for each in run.cells] == ["random-tokens--mini--s0"]  # none before training
    assert (cell / "scores.parquet").is_file()
    about = json.loads((cell / "cell.json").read_text())
    assert about["reading"]["rows"] == "single"
    assert about["pairs"] == {"predict": 16, "salient": 16}
    assert set(load_file(cell / "student" / "head.safetensors")) == {"weight", "bias"}
    answer = run.predict("Where do fish swim?", choices=["in the sea", "in the sky"])
    assert answer.answer in ("in the sea", "in the sky")
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.explanation
    # It labels questions for another run, and writes no further text for it.
    asks = {
        "name": "small",
        "teacher": {"use": f"run:{run.folder}"},
        "generate": [{"label": {"logprobs": True}}],
    }
    small = Run(recipe(tmp_path, bert, **asks, methods=["finetune:soft=2"]))
    small.generate()
    [label] = {text.answer for text in small.teaching.known()[0]["everyday-0013"].values()}
    assert label in next(each.choices for each in small.splits["train"] if each.id == "everyday-0013")
    small.train()
    [line, *_] = map(json.loads, (small.cells[0].folder / "train.jsonl").read_text().splitlines())
    assert line["loss"] == pytest.approx(line["loss/predict"] + line["loss/soft=2"])
    before = (cell / "student" / "head.safetensors").read_bytes()
    (cell / "student" / "head.safetensors").unlink()  # what is gone is trained again, to the same bytes
    Run(recipe(tmp_path, bert, **keys)).train()
    assert (cell / "student" / "head.safetensors").read_bytes() == before


def test_it_shows_the_explanation_of_the_nearest_training_question(bert: str, tmp_path: Path) -> None:
    shown = corpus(12)
    student, fit = trained(bert, tmp_path, shown, "multitask", examples=8)
    assert fit.pairs == {"predict": 8, "explain": 0}
    assert fit.unbuilt == {"explain": {"looked up and not learned": 8}}
    explain = method("multitask").explain
    seen = [shown.examples[index] for index, _ in islice(shown.schedule(method("multitask")), 8)]
    student.save(tmp_path / "student")
    loaded = load_student(tmp_path / "student", "float32")
    # Of a question that it has seen its own explanation, of another one that of the nearest, by hand.
    assert [reply.raw for reply in loaded.say(explain, seen, 3)] == [f"It fits {each.answer} best." for each in seen]
    asked = [each for each in shown.examples if each not in seen]
    known = torch.stack([state(loaded, explain.prompt(each)) for each in seen])
    for example, reply in zip(asked, loaded.say(explain, asked, 3), strict=True):
        nearest = torch.cosine_similarity(known, state(loaded, explain.prompt(example))[None]).argmax()
        assert reply.raw == f"It fits {seen[nearest].answer} best."
    assert fresh(bert).say(explain, asked[:1], 1)[0].raw == ""


def state(student: Any, text: str) -> torch.Tensor:
    with torch.no_grad():
        return student.model(**student.tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"methods": ["explain-then-answer"], "generate": ["explanation"]},
            "the view 'factual' states its answer beside one",
        ),
        ({"methods": ["finetune:options"]}, "'options' is what an encoder learns by anyway"),
        ({"methods": ["finetune:target=letter"]}, "states no letter"),
        (
            {
                "task": FREE,
                "methods": ["finetune"],
                "student": "tiny",
                "evaluate": {"metrics": ["simulatability"], "simulator": {"use": "BERT", "examples": 2}},
            },
            "Method 'simulatability': an encoder chooses",
        ),
        (
            {"methods": ["multitask:kd"], "generate": ["explanation"]},
            "'kd' is a term of the loss that needs the tokens",
        ),
        (
            {"methods": ["multitask:keypoints=2"], "generate": ["explanation"]},
            "there are neither texts nor tokens of one to weigh",
        ),
        (
            {"task": FREE, "methods": ["finetune"]},
            "has options",
        ),
    ],
)
def test_what_it_cannot_learn_is_refused_before_a_teacher_is_asked(
    bert: str, tmp_path: Path, keys: dict[str, Any], said: str
) -> None:
    rows = [{"id": str(index), "question": f"How many, {index}?", "answer": str(index)} for index in range(8)]
    (tmp_path / "free.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = recipe(tmp_path, bert, **{"teacher": {"use": "fake:log=asked.log"}, **keys})
    if made.evaluate.simulator is not None:
        simulator = made.evaluate.simulator.model_copy(update={"use": bert})
        made = made.model_copy(update={"evaluate": made.evaluate.model_copy(update={"simulator": simulator})})
    run = Run(made)
    with pytest.raises(StudentError, match=said):
        run.generate()
    assert not (tmp_path / "asked.log").exists()


def test_models_that_are_no_encoders_are_refused(tmp_path: Path) -> None:
    for name, error in (("gpt2", "it is no encoder. Write: student: {use: causal:"), ("t5", "is an encoder–decoder")):
        use = saved(name, tmp_path / name).partition(":")[2]
        with pytest.raises(ShrinkError, match=error):
            opened(f"encoder:{use}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="is not a model folder"):
        opened(f"encoder:{tmp_path / 'empty'}")


def test_lora_and_fewer_layers(bert: str, tmp_path: Path) -> None:
    assert len(fresh(bert, keep_every=2).model.encoder.layer) == 1
    student = fresh(bert, lora=4)
    weights = [name for name, weight in student.named_parameters() if weight.requires_grad]
    assert all("lora_" in name or name.startswith("head.") for name in weights)
    assert "head.weight" in weights
    student.save(tmp_path / "student")
    asked = many(4)
    assert load_student(tmp_path / "student", "float32").say(PREDICT, asked, 4) == student.say(PREDICT, asked, 4)
