"""A trained student in other formats: the same tokens, the same texts, the same answers, or a refusal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shrinklm.core.errors import ExportError, MissingExtra, ModelError, RecipeError, StoreError
from shrinklm.deploy.answering import Answering
from shrinklm.deploy.export import Wanted, export
from shrinklm.deploy.formats import written
from shrinklm.deploy.formats.chat import fitting_template, same_prompts
from shrinklm.deploy.formats.written import FORMATS, open_exported
from shrinklm.deploy.student import TrainedStudent
from shrinklm.methods.builtin import EXPLAIN, PREDICT
from shrinklm.students.likeliest import choice_pairs
from shrinklm.students.open import load_student
from student_cases import fitted, fresh, many
from tokenizer_cases import trained_tokenizer

ANSWERING = Answering("multitask--tiny--s0", "multitask", PREDICT, EXPLAIN, 12, 14, "table", "choice")
QUESTIONS = many(8)
PROMPTS = [PREDICT.prompt(example) for example in QUESTIONS]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a student that knows some of the questions."""
    folder = tmp_path_factory.mktemp("learned")
    student, _ = fitted(folder / "training", "multitask", count=8, examples=480, micro_batch=8, learning_rate=5e-3)
    student.eval().save(folder / "student")
    return folder / "student"


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an encoder–decoder whose texts depend on their prompts."""
    folder = tmp_path_factory.mktemp("t5") / "student"
    stirred(fresh("tiny:seq2seq")).save(folder)
    return folder


def stirred(student: Any) -> Any:
    import torch

    torch.manual_seed(0)
    with torch.no_grad():
        for weight in student.model.parameters():
            weight += (0.15 if weight.dim() < 2 else 0.1) * torch.randn_like(weight)
    return student


def exported(
    source: Path, to: str, folder: Path, bits: int | None = None, bound: float = 2.0, explain: bool = False
) -> dict[str, Any]:
    """The report of an export, without explanations on four questions, with them on all."""
    answering = ANSWERING if explain else replace(ANSWERING, explain=None)
    trained = TrainedStudent(load_student(source, "float32"), answering, source)
    tests = QUESTIONS if explain else QUESTIONS[:4]
    return export(lambda: trained, answering.task_alone(), tests, Wanted(to, folder, bits, bound))


@pytest.mark.parametrize("to", FORMATS)
def test_texts_are_those_of_the_student_in_every_format(learned: Path, tmp_path: Path, to: str) -> None:
    report = exported(learned, to, tmp_path / "out", explain=True)
    assert report["agreement"]["same_answers"] == report["agreement"]["same_texts"] == 1
    assert report["agreement"]["same_explanations"] == 1
    assert report["original"]["accuracy"] == report["exported"]["accuracy"] > 0
    assert json.loads((tmp_path / "out" / "export.json").read_bytes()) == report
    student = load_student(learned, "float32")
    wanted = student.answer(PROMPTS, 14)
    assert len(set(wanted)) > 2
    reopened = open_exported(tmp_path / "out")
    assert reopened.answer(PROMPTS, 14) == wanted
    begun = ["The answer"] * len(PROMPTS)
    assert reopened.answer(PROMPTS, 6, begun=begun) == student.answer(PROMPTS, 6, begun=begun)
    # Tokens of the last one end inside a character.
    scored = [*QUESTIONS[:2], replace(QUESTIONS[0], choices=("😀 李雷", "😁", "naïve"))]
    pairs = [pair for example in scored for pair in choice_pairs(PREDICT, example, "")]
    assert reopened.likelihood(pairs) == pytest.approx(student.likelihood(pairs), abs=0.02)
    answers = TrainedStudent.open(tmp_path / "out").predict(QUESTIONS[:2])
    assert [answer.raw for answer in answers] == wanted[:2]
    assert report.get("chat") == (None if to == "onnx" else {"asked": 8, "same": 8})


def test_transformers_alone_reads_the_folder(learned: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    exported(learned, "safetensors", tmp_path / "out", 16)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="float32")
    chat = [{"role": "user", "content": QUESTIONS[0].text}]
    asked = tokenizer.apply_chat_template(chat, return_tensors="pt", return_dict=True)
    assert tokenizer.decode(asked["input_ids"][0]) == PROMPTS[0]
    said = model.generate(**asked)[0, asked["input_ids"].shape[1] :]
    assert tokenizer.decode(said, skip_special_tokens=True).strip() == load_student(learned).answer(PROMPTS[:1], 14)[0]
    assert (model.generation_config.do_sample, model.generation_config.max_new_tokens) == (False, 14)
    assert Answering.read(tmp_path / "out").to_json() == replace(ANSWERING, explain=None).to_json()
    assert (tmp_path / "out" / "model.safetensors").stat().st_size < 0.6 * (
        learned / "model.safetensors"
    ).stat().st_size


@pytest.mark.parametrize("to", ["safetensors", "onnx"])
def test_an_encoder_decoder(t5: Path, tmp_path: Path, to: str) -> None:
    report = exported(t5, to, tmp_path / "out")
    assert report["agreement"]["same_texts"] == 1
    student, reopened = load_student(t5, "float32"), open_exported(tmp_path / "out")
    begun = ["It is", "Such a"] * 4
    assert reopened.answer(PROMPTS, 6, begun=begun) == student.answer(PROMPTS, 6, begun=begun)
    pairs = [pair for example in QUESTIONS[:2] for pair in choice_pairs(PREDICT, example, "")]
    assert reopened.likelihood(pairs) == pytest.approx(student.likelihood(pairs), abs=1e-3)


@pytest.mark.parametrize("place", [__file__, "/proc"])
def test_a_place_that_cannot_be_written_is_told_before_the_student_is_asked(place: str) -> None:
    asked = partial(pytest.fail, "the student was loaded")
    with pytest.raises(StoreError, match=r"out cannot be written: .*Name a place that you can write to"):
        export(asked, ANSWERING.task_alone(), QUESTIONS, Wanted("safetensors", Path(place, "out")))


def test_llama_cpp_runs_no_encoder_decoder(t5: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"llama\.cpp's server runs none.* --to onnx"):
        exported(t5, "gguf", tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("to", ["gguf", "onnx"])
def test_fewer_bits_are_a_smaller_file(learned: Path, tmp_path: Path, to: str) -> None:
    sizes, pairs = [], choice_pairs(PREDICT, QUESTIONS[0], "")
    for bits, nats in ((16, 0.02), (8, 0.3), (4, 3.0)):
        student = load_student(learned, "float32")
        folder = tmp_path / str(bits)
        folder.mkdir()
        FORMATS[to].write(student, ANSWERING, folder, bits)
        sizes.append(FORMATS[to].size(folder))
        with FORMATS[to].open(folder) as opened:
            assert opened.likelihood(pairs) == pytest.approx(student.likelihood(pairs), abs=nats)
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3


def tiny_model(kind: str, tokenizer: Any) -> Any:
    import transformers
    from transformers import AutoModelForCausalLM

    from shrinklm.students.causal import CausalStudent

    common = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2}
    further: dict[str, dict[str, Any]] = {
        "Llama": {"attention_bias": True, "mlp_bias": True, "head_dim": 32, "rope_parameters": LLAMA3},
        "Mistral": {"rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0}},
        "Qwen2": {},
        "Qwen3": {"head_dim": 32, "tie_word_embeddings": True},
        "Gemma": {"head_dim": 32},
        "Gemma2": {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 16},
        "Gemma3Text": {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 16, "num_hidden_layers": 7},
    }
    numbers = {"eos_token_id": 1, "pad_token_id": 0, "bos_token_id": None, "max_position_embeddings": 512}
    size = len(tokenizer) + 3  # rows without a token
    options = {"num_hidden_layers": 3, **common, **numbers, **further[kind], "vocab_size": size}
    return stirred(
        CausalStudent(AutoModelForCausalLM.from_config(getattr(transformers, f"{kind}Config")(**options)), tokenizer)
    ).eval()


LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["Llama", "Mistral", "Qwen2", "Qwen3", "Gemma", "Gemma2", "Gemma3Text"])
def test_llama_cpp_computes_each_architecture_as_transformers_does(kind: str, tmp_path: Path) -> None:
    from shrinklm.students.tiny import build_tokenizer

    student = tiny_model(kind, build_tokenizer())
    FORMATS["gguf"].write(student, ANSWERING, tmp_path, 32)
    with FORMATS["gguf"].open(tmp_path) as opened:
        pairs = [pair for example in QUESTIONS[:2] for pair in choice_pairs(PREDICT, example, "")]
        assert opened.likelihood(pairs) == pytest.approx(student.likelihood(pairs), abs=0.01)


def test_an_architecture_that_was_not_compared_is_refused(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    from shrinklm.students.causal import CausalStudent
    from shrinklm.students.tiny import build_tokenizer

    tokenizer = build_tokenizer()
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=1)
    student = CausalStudent(GPT2LMHeadModel(config).eval(), tokenizer)
    with pytest.raises(ModelError, match=r"'gpt2' is not written as GGUF.*Known: llama, mistral, qwen2, qwen3, gemma"):
        FORMATS["gguf"].write(student, ANSWERING, tmp_path, 16)


TEXTS = [
    *PROMPTS[:2],
    "it's we're I'LL 12345 3.14 1,000",
    "two  blanks, three   and\ttabs \n\n lines\r\n",
    "Straße café naïve — “quotes” … €5 ½",
    "日本語のテスト 中文 한국어 🙂👍🏽",
    "مرحبا हिन्दी ไทย",
    "!!!??? ((x)) [y] {z} #$%^&*",
]


def split_tokenizer(*steps: Any, whole: bool = False) -> Any:
    """A byte-level tokenizer that cuts words by these steps, and begins every prompt with <s>."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(ignore_merges=whole))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(steps))
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<pad>", "</s>", "<unk>", "<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 3)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", bos_token="<s>"
    )


def _regex(digits: str, whole: bool = False) -> Any:
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import ByteLevel, Split

    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + digits + r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    plain = ByteLevel(add_prefix_space=False, use_regex=False)
    return split_tokenizer(Split(Regex(pattern), "isolated"), plain, whole=whole)


def _smollm() -> Any:
    from tokenizers.pre_tokenizers import ByteLevel, Digits

    return split_tokenizer(Digits(individual_digits=True), ByteLevel(add_prefix_space=False))


TOKENIZERS: dict[str, Callable[[], Any]] = {
    "smollm": _smollm,
    "qwen2": lambda: _regex(""),
    "llama3": lambda: _regex("{1,3}", whole=True),
    "llama3 by merges": lambda: _regex("{1,3}"),
    **{
        kind: lambda kind=kind: trained_tokenizer(kind, TEXTS * 3)  # type: ignore[misc]
        for kind in ("byte-level", "legacy", "across", "never", "always", "first")
    },
}


def with_tokenizer(tokenizer: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    from shrinklm.students.causal import CausalStudent

    tokenizer.backend_tokenizer.no_truncation()
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    numbers = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 3, "vocab_size": len(tokenizer)}
    return stirred(CausalStudent(LlamaForCausalLM(LlamaConfig(**sizes, **numbers)), tokenizer)).eval()


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_llama_cpp_cuts_texts_into_the_same_tokens_and_chats_with_the_training_prompt(
    kind: str, tmp_path: Path
) -> None:
    student = with_tokenizer(TOKENIZERS[kind]())
    FORMATS["gguf"].write(student, ANSWERING, tmp_path, 16)
    template = fitting_template(PREDICT, EXPLAIN, student.tokenizer)
    assert same_prompts(student.tokenizer, template, PREDICT, QUESTIONS) == len(QUESTIONS)
    with FORMATS["gguf"].open(tmp_path) as opened:
        for text in TEXTS:
            assert opened.prompt_ids(text) == student.prompt_ids(text), text
            assert opened.target_ids(text) == student.target_ids(text), text
        question = {"role": "user", "content": QUESTIONS[0].text}
        system = [{"role": "system", "content": "Be kind."}, question]
        earlier = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}, question]
        for messages in ([question], system, earlier):
            assert chatted(opened, messages) == student.prompt_ids(PROMPTS[0])
        assert chatted(opened, [question], explain=True) == student.prompt_ids(EXPLAIN.prompt(QUESTIONS[0]))


def chatted(opened: Any, messages: list[dict[str, str]], **arguments: Any) -> list[int]:
    """The tokens that llama.cpp's chat endpoint reads."""
    asked = {"messages": messages, "chat_template_kwargs": arguments}
    return list(opened.prompt_ids(opened._post("/apply-template", asked)["prompt"]))


@pytest.mark.parametrize("kind", ["word-piece", "unigram"])
def test_a_tokenizer_that_llama_cpp_does_not_have_is_refused(kind: str, tmp_path: Path) -> None:
    student = with_tokenizer(trained_tokenizer(kind, TEXTS * 3))
    with pytest.raises(ModelError, match=r"llama\.cpp cannot read this student's tokenizer: its model is .* BPE"):
        FORMATS["gguf"].write(student, ANSWERING, tmp_path, 16)


def test_the_base_models_template_goes(tmp_path: Path) -> None:
    student = fresh()
    student.tokenizer.chat_template = "{{ 'You are helpful.' }}{{ messages[0]['content'] }}"
    FORMATS["safetensors"].write(student, ANSWERING, tmp_path, 32)
    shown = (tmp_path / "chat_template.jinja").read_text()
    assert "helpful" not in shown
    assert "[predict]" in shown
    assert student.tokenizer.chat_template.startswith("{{ 'You are")
    load_student(tmp_path)


class Forgetful(written.RuntimeStudent):
    """Says the same to everything."""

    runtime = "nothing"
    positions = 512

    def __init__(self, student: Any) -> None:
        self.prompt_ids, self.target_ids = student.prompt_ids, student.target_ids

    def write(self, prompt: list[int], begun: list[int], max_tokens: int) -> Any:
        from shrinklm.core.types import Reply

        return Reply("The answer is violin.", finished=True)


def test_a_student_that_answers_worse_is_not_kept(learned: Path, tmp_path: Path, monkeypatch: Any) -> None:
    exported(learned, "safetensors", tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    student = load_student(learned, "float32")
    monkeypatch.setitem(FORMATS, "safetensors", replace(FORMATS["safetensors"], open=lambda folder: Forgetful(student)))
    with pytest.raises(ExportError, match=r"Accuracy falls from .*and 2 are allowed \(--bound\)") as error:
        exported(learned, "safetensors", tmp_path / "out")
    assert "One of 4 questions is 25.0 points." in str(error.value)
    assert error.value.report is not None
    assert error.value.report["agreement"]["accuracy_points"] < -12
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    with pytest.raises(ExportError):
        exported(learned, "safetensors", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert exported(learned, "safetensors", tmp_path / "new", bound=100)["agreement"]["same_texts"] < 1


def test_a_runtime_that_reads_other_tokens_is_refused(learned: Path, tmp_path: Path, monkeypatch: Any) -> None:
    student = load_student(learned, "float32")
    forgetful = Forgetful(student)
    forgetful.prompt_ids = lambda text: [*student.prompt_ids(text), 5]  # type: ignore[method-assign]
    monkeypatch.setitem(FORMATS, "safetensors", replace(FORMATS["safetensors"], open=lambda folder: forgetful))
    with pytest.raises(ExportError, match="nothing cuts 4 of 4 prompts into other tokens"):
        exported(learned, "safetensors", tmp_path / "out", bound=100)
    assert not list(tmp_path.iterdir())


def test_another_export_to_the_same_folder_at_the_same_time_is_noticed(
    learned: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    def lost(folder: Path) -> Any:
        (folder / "model.safetensors").unlink()
        return Forgetful(load_student(learned, "float32"))

    monkeypatch.setitem(FORMATS, "safetensors", replace(FORMATS["safetensors"], open=lost))
    with pytest.raises(StoreError, match="is written by another process at the same time"):
        exported(learned, "safetensors", tmp_path / "out", bound=100)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_something_else_stays(learned: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="holds something else than an export"):
        exported(learned, "safetensors", tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    exported(learned, "safetensors", tmp_path / "out")
    exported(learned, "safetensors", tmp_path / "out")  # an earlier export is replaced
    (tmp_path / "out" / "Modelfile").write_text("mine")
    with pytest.raises(StoreError, match="holds something else than an export"):
        exported(learned, "safetensors", tmp_path / "out")
    assert (tmp_path / "out" / "Modelfile").read_text() == "mine"


def test_bits_that_a_format_does_not_have(learned: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"safetensors has 32, 16 bits a weight, and not 8.*--to gguf or --to onnx"):
        exported(learned, "safetensors", tmp_path / "out", 8)
    with pytest.raises(RecipeError, match="gguf has 16, 32, 8, 4 bits a weight, and not 5"):
        exported(learned, "gguf", tmp_path / "out", 5)


@pytest.mark.parametrize(
    ("to", "package", "extra"), [("onnx", "onnxruntime", "onnx"), ("gguf", "xllamacpp", "llamacpp")]
)
def test_missing_packages_are_named(
    learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"needs the package '{package}'.*pip install \"shrinklm\[{extra}\]\""):
        exported(learned, to, tmp_path / "out")
    assert not list(tmp_path.iterdir())
