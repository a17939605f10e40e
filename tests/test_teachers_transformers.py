from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shrinklm.core.errors import ShrinkError
from shrinklm.core.types import Completion, Prompt, Sampling, Turn
from shrinklm.teachers.base import TeacherOptions
from shrinklm.teachers.transformers import TransformersTeacher
from teacher_cases import asking, tiny_model

TEXTS = [
    "Why is a beaver fond of wood?", "Why?",
    "What is it that a very old and tired beaver might build out of wood and mud in a river?",
    "Who builds a dam here?", "Where is the wood?",
]  # fmt: skip


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("causal"), chat=True)


@pytest.fixture(scope="module")
def seq2seq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("seq2seq"), seq2seq=True)


def teacher(folder: Path, batch: int = 4) -> TransformersTeacher:
    made = TransformersTeacher(str(folder), TeacherOptions(batch=batch))
    made.dtype = "float32"
    return made


def say(folder: Path, texts: list[str], sampling: Sampling, batch: int = 4) -> list[Completion]:
    found = dict(teacher(folder, batch).complete([asking(text) for text in texts], sampling))
    assert sorted(found) == list(range(len(texts)))
    return [found[position] for position in range(len(texts))]


def plain(folder: Path, text: str, max_tokens: int) -> str:
    """transformers' own greedy decoding of one prompt, without any cache of ours."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    made = teacher(folder)
    auto: Any = (
        AutoModelForSeq2SeqLM
        if json.loads((folder / "config.json").read_text()).get("is_encoder_decoder")
        else AutoModelForCausalLM
    )
    model, tokenizer = auto.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([made.tokens(asking(text))])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_tokens, do_sample=False)[0]
    new = out[1:] if auto is AutoModelForSeq2SeqLM else out[ids.shape[1] :]
    return str(tokenizer.decode(new, skip_special_tokens=True))


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_shared_prefix_and_batches_change_nothing(request: pytest.FixtureRequest, kind: str) -> None:
    folder = request.getfixturevalue(kind)
    together = [row.text for row in say(folder, TEXTS, Sampling(max_tokens=20))]
    assert together == [plain(folder, text, 20) for text in TEXTS]
    assert together == [row.text for row in say(folder, TEXTS, Sampling(max_tokens=20), batch=1)]
    assert len(set(together)) > 1


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_defect_26_sampling_reaches_every_prompt_and_is_its_own(request: pytest.FixtureRequest, kind: str) -> None:
    folder = request.getfixturevalue(kind)
    sampling = Sampling(max_tokens=12, temperature=1.0, top_p=0.95, seed=3)
    drawn = [row.text for row in say(folder, TEXTS, sampling)]
    assert drawn == [row.text for row in say(folder, TEXTS, sampling, batch=2)]  # neighbours change nothing
    assert drawn == list(reversed([row.text for row in say(folder, TEXTS[::-1], sampling)]))
    assert drawn != [
        row.text for row in say(folder, TEXTS, Sampling(max_tokens=12, temperature=1.0, top_p=0.95, seed=4))
    ]
    assert drawn != [row.text for row in say(folder, TEXTS, Sampling(max_tokens=12))]


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_defect_26_each_row_ends_at_its_own_stop(request: pytest.FixtureRequest, kind: str) -> None:
    folder = request.getfixturevalue(kind)
    free = [row.text for row in say(folder, TEXTS, Sampling(max_tokens=20))]
    stop = free[0].strip()[4:7]  # something that the first row says early
    stopped = say(folder, TEXTS, Sampling(max_tokens=20, stop=(stop,)))
    for before, row in zip(free, stopped, strict=True):
        start = len(before) - len(before.lstrip())
        place = before.find(stop, start)
        assert row.text == (before if place < 0 else before[:place])
        assert row.finished == (place >= 0)
    assert stopped[0].finished
    assert stopped[0].tokens_out < 20
    assert not all(row.finished for row in stopped)


def test_defect_11_prompt_that_does_not_fit_is_refused_and_never_cut(causal: Path) -> None:
    found = say(causal, ["wood " * 600, "Why?"], Sampling(max_tokens=10))
    length = len(teacher(causal).tokens(asking("wood " * 600)))
    assert found[0] == Completion(
        "", length, refusal=f"the prompt does not fit: {length} tokens and 10 for the completion, limit 512"
    )
    assert found[1].refusal is None
    fits = say(causal, ["Why?"], Sampling(max_tokens=512))[0]
    assert fits.refusal is not None  # the prompt alone would fit, the completion would not


def test_chat_template_is_used_and_its_absence_too(causal: Path, seq2seq: Path) -> None:
    made = teacher(causal)
    shown = made.decoder.tokenizer.decode(made.tokens(asking("Why?")))
    assert shown.startswith("<system>You explain")
    assert shown.endswith("<user>Why?\n<assistant>")
    other = teacher(seq2seq)
    assert other.decoder.tokenizer.decode(other.tokens(asking("Why?"))).strip().endswith("\n\nWhy?")


def test_template_without_a_system_role(causal: Path) -> None:
    made = teacher(causal)
    strict = "{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}<{{ m.role }}>{{ m.content }}"
    made.decoder.tokenizer.chat_template = "{% for m in messages %}" + strict + "{% endfor %}"
    shown = made.decoder.tokenizer.decode(made.tokens(asking("Why?")))
    assert shown.startswith("<user>You explain")
    made.decoder.tokenizer.chat_template = "{{ raise_exception('never') }}"
    with pytest.raises(ShrinkError, match="chat template"):
        made.tokens(Prompt((Turn("user", "x"),), asking("x").example, "label", ""))


def test_shared_prefix_is_read_once(causal: Path) -> None:
    made = teacher(causal, batch=2)
    list(made.complete([asking(text) for text in TEXTS], Sampling(max_tokens=2)))
    model, seen = made.decoder.model, []
    forward = model.forward
    model.forward = lambda *args, **kwargs: (seen.append(kwargs["input_ids"].shape), forward(*args, **kwargs))[1]
    list(made.complete([asking(text) for text in TEXTS], Sampling(max_tokens=2)))
    prefix = len(made.tokens(asking(""))) - 8
    assert max(shape[1] for shape in seen) < prefix + 16
    assert all(shape[0] <= 2 for shape in seen)


@pytest.mark.parametrize(
    ("ref", "words"),
    [("nowhere/at/all", "No model at"), ("empty-folder", "not a model folder"), ("", "names no model")],
)
def test_bad_models(tmp_path: Path, ref: str, words: str) -> None:
    (tmp_path / "empty-folder").mkdir()
    with pytest.raises(ShrinkError, match=words):
        TransformersTeacher(ref, TeacherOptions(root=tmp_path))


def test_folder_without_tokenizer(causal: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((causal / name).read_bytes())
    with pytest.raises(ShrinkError, match="tokenizer"):
        list(teacher(tmp_path).complete([asking("Why?")], Sampling()))
