"""Students of many architectures: trained, scored and decoded as by one plain forward pass a pair."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import XLNetConfig, XLNetLMHeadModel

from architectures import ALONE, PACKED, SEQ2SEQ, build, saved, tokenizer
from shrinklm import Recipe, Run
from shrinklm.core.errors import StudentError
from shrinklm.core.types import Completion, Pair, Prompt, Sampling
from shrinklm.methods.spec import method
from shrinklm.models.exact import exact_decoder
from shrinklm.students import exact
from shrinklm.students.causal import CausalStudent
from shrinklm.students.exact import Reading
from shrinklm.students.masks import masks
from shrinklm.students.open import load_student
from shrinklm.students.seq2seq import Seq2SeqStudent
from student_cases import OPTIONS, corpus, fitted, many, opened

EXACT = 1e-4


@pytest.fixture(scope="module", autouse=True)
def few_objects() -> Iterator[None]:
    """accelerate collects garbage after each training, for longer than the training takes."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@cache
def groups(count: int = 2) -> list[list[Pair]]:
    """The pairs of some examples, by example."""
    chosen, examples = method("multitask+counterfactual"), corpus(count)
    return [[item.pair for item in examples.pairs(chosen, index, 0)] for index in range(count)]


def log_p(student: Any, pair: Pair, end: bool) -> torch.Tensor:
    """log p of each token of a target: one forward of the pair alone, with nothing but its ids."""
    prompt, target = student.prompt_ids(pair.prompt), student.target_ids(pair.target, end)
    with torch.no_grad():
        if student.family == "seq2seq":
            labels = torch.tensor([student.target_ids(pair.target)])
            logits = student.model(input_ids=torch.tensor([prompt]), labels=labels).logits[0, : len(target)]
        else:
            logits = student.model(input_ids=torch.tensor([prompt + target])).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(-1)[torch.arange(len(target)), target]


def greedy(student: Any, prompt: str | list[int], count: int) -> str:
    """The likeliest continuation, with a forward of all tokens for each new one."""
    ids, new = student.prompt_ids(prompt) if isinstance(prompt, str) else prompt, []
    for _ in range(count):
        with torch.no_grad():
            if student.family == "seq2seq":
                start = 1 if student.model.config.model_type in ("bart", "mbart", "pegasus") else 0
                out = student.model(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([[start, *new]]))
            else:
                out = student.model(input_ids=torch.tensor([ids + new]))
        token = int(out.logits[0, -1].argmax())
        if token == student.tokenizer.eos_token_id:
            break
        new.append(token)
    return str(student.tokenizer.decode(new, skip_special_tokens=True)).strip()


def check_losses(student: Any) -> None:
    shown = groups()
    with torch.no_grad():
        total, count = student(student.encode(shown))
    expected = torch.stack([-log_p(student, pair, True).mean() for group in shown for pair in group])
    torch.testing.assert_close(total / count, expected, atol=EXACT, rtol=0)


@pytest.mark.parametrize("name", [*PACKED, *ALONE, *SEQ2SEQ])
def test_every_number_is_that_of_a_plain_forward(name: str, tmp_path: Path) -> None:
    spec = saved(name, tmp_path / "model")
    student = opened(spec)
    assert student.reading.rows == ("packed" if name in PACKED else "single")
    check_losses(student)
    trained, fit = fitted(tmp_path / "cell", spec=spec, examples=8, batch=4)
    assert fit.steps == 2
    assert not fit.diverged
    changed = [not torch.equal(*pair) for pair in zip(student.parameters(), trained.parameters(), strict=True)]
    assert any(changed)
    trained.save(tmp_path / "student")
    loaded = load_student(tmp_path / "student", "float32")
    assert loaded.reading == trained.reading == student.reading
    check_losses(loaded)
    asked = [Pair(f"{example.text}\n[predict]", option) for example in many(2) for option in OPTIONS]
    expected = [float(log_p(loaded, pair, False).sum()) for pair in asked]
    assert loaded.likelihood(asked) == pytest.approx(expected, abs=EXACT * 10)
    prompts = list(dict.fromkeys(pair.prompt for pair in asked))
    assert loaded.answer(prompts, 6) == [greedy(loaded, prompt, 6) for prompt in prompts]


def small(name: str) -> Any:
    """A student that was made and not opened: it is tried out when it first reads."""
    return CausalStudent(build(name), tokenizer())


@pytest.mark.parametrize("name", ["gemma2", "mistral"])
def test_a_window_counts_the_tokens_of_a_pair(name: str) -> None:
    student = small(name)
    batch = student.encode([group * 2 for group in groups()])
    drawn = masks(student.config, batch)
    window = student.config.sliding_window
    narrow = drawn["sliding_attention"] if name == "gemma2" else drawn
    seen = narrow == 0 if narrow.dtype != torch.bool else narrow
    position, segment, related = batch["position_ids"], batch["segment"], batch["kin"]
    row = 0
    for reading in range(0, segment.shape[1], 7):
        for read in range(segment.shape[1]):
            kin = bool(related[row, segment[row, reading], segment[row, read]])
            near = int(position[row, reading] - position[row, read]) < window
            assert bool(seen[row, 0, reading, read]) == (kin and near and read <= reading)
    if name == "gemma2":
        assert (drawn["full_attention"] == 0).sum() > seen.sum()


def test_trying_out_changes_nothing_and_says_what_is_slower(caplog: pytest.LogCaptureFixture) -> None:
    exact._known.clear()
    student = small("bloom").train()
    before = [weight.clone() for weight in student.parameters()]
    state = torch.get_rng_state()
    found = student.reading
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(*pair) for pair in zip(before, student.parameters(), strict=True))
    assert all(module.training for module in student.modules())
    assert (found.rows, found.decodes) == ("single", "generate")
    assert "BloomForCausalLM reads single rows and decodes by generate: packed: ValueError" in caplog.text
    caplog.clear()
    assert small("bloom").reading is found, "what is known of a model's code is not tried out again"
    assert not caplog.text
    assert small("llama").reading == Reading("packed", "shared", ())
    assert not caplog.text


def test_a_model_that_no_way_serves_is_refused() -> None:
    config = XLNetConfig(d_model=32, n_layer=1, n_head=4, d_inner=32, vocab_size=len(tokenizer()))
    both_ways = CausalStudent(XLNetLMHeadModel(config).eval(), tokenizer())
    with pytest.raises(StudentError, match="XLNetLMHeadModel cannot train here: no way to do so gives what the model"):
        both_ways.answer(["Question: who?"], 2)


def test_a_student_of_before_there_was_a_record_is_tried_out(tmp_path: Path) -> None:
    student = small("mpt")
    student.save(tmp_path / "student")
    path = tmp_path / "student" / "shrinklm.json"
    note = json.loads(path.read_text())
    assert note["reading"]["rows"] == "single"
    assert "packed: off by" in note["reading"]["why"][0]
    for kept in ({}, {"reading": "somehow"}, {"reading": {"rows": "single", "decodes": "backwards"}}):
        del note["reading"]
        note |= kept
        path.write_text(json.dumps(note))
        loaded = load_student(tmp_path / "student", "float32")
        assert loaded.reading == student.reading
        check_losses(loaded)
        note.setdefault("reading")


def test_a_class_with_an_encode_of_its_own_is_not_tried_out() -> None:
    class Own(CausalStudent):
        def encode(self, *args: Any, **options: Any) -> Any:
            return super().encode(*args, **options)

    assert Own(build("bloom"), tokenizer()).reading == Reading()


@pytest.mark.parametrize("name", ["bloom", "mistral", "mamba2", "t5"])
def test_a_teacher_writes_what_its_model_says(name: str) -> None:
    decoder = exact_decoder(build(name), tokenizer())
    prompts = [list(range(5, 5 + count)) for count in (40, 33, 21)]
    said = decoder.decode(prompts, 8)
    student = (Seq2SeqStudent if name in SEQ2SEQ else CausalStudent)(decoder.model, tokenizer())
    for row, prompt in zip(said, prompts, strict=True):
        assert decoder.text(row.tokens).strip() == greedy(student, prompt, 8)
    alone = decoder.decode([prompts[1]], 8, temperature=1.5, top_p=0.9, seeds=[7])
    assert decoder.decode(prompts, 8, temperature=1.5, top_p=0.9, seeds=[5, 7, 6])[1] == alone[0]
    word = decoder.text(said[0].tokens[:3])
    assert decoder.decode(prompts, 8, stop=lambda text: text == word)[0].tokens == said[0].tokens[:3]


class Counting:
    """A teacher that counts what it is asked, as one that is paid for."""

    name, revision, asked = "counting", "1", 0

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        self.asked += len(prompts)
        for position, prompt in enumerate(prompts):
            yield position, Completion(f"{prompt.answer.capitalize()} fits this question best of all.")


def run(root: Path, spec: str, teacher: Any) -> Run:
    blocks = {
        "name": "r",
        "task": {"use": "everyday", "limit": {"train": 4, "dev": 2, "test": 2}},
        "teacher": {"use": "fake"},
        "generate": ["explanation"],
        "methods": ["multitask"],
        "student": {"use": spec},
        "train": {"examples": 8, "batch": 4, "curve": 1, "checkpoints": 1},
        "evaluate": {"batch": 2, "max_tokens": 6, "zero_shot": True},
    }
    return Run(Recipe.parse({**blocks, "root": root}), teacher=teacher)


@pytest.mark.parametrize("name", ["falcon alibi", "recurrent_gemma"])
def test_a_run_says_how_its_students_read(name: str, tmp_path: Path) -> None:
    spec = saved(name, tmp_path / "model")
    made = run(tmp_path, spec, Counting())
    made.generate()
    made.audit()
    made.train()
    made.evaluate()
    assert len(made.cells) == 2
    for cell in made.cells:
        about = json.loads((cell.folder / "cell.json").read_text())
        assert about["reading"]["rows"] == "single"
        assert about["reading"]["decodes"] in ("generate", "alone")
        assert about["reading"]["why"][0].startswith("packed: ")


def test_what_cannot_be_trained_exactly_is_refused_before_the_teacher_is_asked(tmp_path: Path) -> None:
    config = XLNetConfig(d_model=32, n_layer=1, n_head=4, d_inner=32, vocab_size=len(tokenizer()))
    XLNetLMHeadModel(config).save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    teacher = Counting()
    with pytest.raises(StudentError, match=r"XLNetLMHeadModel cannot train here: .* Take another student"):
        run(tmp_path, f"causal:{tmp_path / 'model'}", teacher).all()
    assert teacher.asked == 0
