"""Students: what is scored and what is not, packing, likelihood, LoRA, fewer layers, saving and loading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from shrinklm.core.errors import StudentError, UnknownName
from shrinklm.core.types import Pair
from shrinklm.students.base import BaseStudent
from shrinklm.students.batch import IGNORE
from shrinklm.students.causal import CausalStudent
from shrinklm.students.layers import keep_layers
from shrinklm.students.open import load_student
from shrinklm.students.seq2seq import Seq2SeqStudent
from shrinklm.students.tiny import Tiny, build_tokenizer
from student_cases import OPTIONS, corpus, fresh, many, opened, pairs

FAMILIES = ["tiny", "tiny:seq2seq"]
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


class Mine(Tiny):
    """A student of a user's own."""

    @classmethod
    def open(cls, ref: str, *args: Any, **options: Any) -> Any:
        assert ref == ""
        made = Tiny.open("", *args, **options)
        return cls(made.model, made.tokenizer, made.max_length)


def causal(kind: str) -> CausalStudent:
    """A student of a family with its own kind of attention or positions."""
    tokenizer = build_tokenizer(600)
    ids = {
        "vocab_size": len(tokenizer),
        "pad_token_id": 0,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
    }
    torch.manual_seed(0)
    models: dict[str, Any] = {
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SMALL, **ids)),
        "gpt2": lambda: GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=256, **ids)),
        "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(**SMALL, head_dim=8, attn_implementation="eager", **ids)),
    }
    return CausalStudent(models[kind]().eval(), tokenizer)


def alone(student: Any, pair: Pair) -> Tensor:
    """transformers' own loss of one pair, on its own row, nothing packed."""
    prompt, target = student.prompt_ids(pair.prompt), student.target_ids(pair.target)
    with torch.no_grad():
        if isinstance(student, Seq2SeqStudent):
            return student.model(input_ids=torch.tensor([prompt]), labels=torch.tensor([target])).loss
        labels = torch.tensor([[-100] * len(prompt) + target])
        return student.model(input_ids=torch.tensor([prompt + target]), labels=labels).loss


def packed(student: Any, groups: list[list[Pair]]) -> Tensor:
    with torch.no_grad():
        total, count = student(student.encode(groups))
    return total / count


@pytest.fixture(scope="module", params=[*FAMILIES, "qwen2", "gpt2", "gemma2"])
def student(request: pytest.FixtureRequest) -> Any:
    return fresh(request.param) if request.param in FAMILIES else causal(request.param)


def test_a_packed_forward_is_each_pair_alone_and_transformers_own_loss(student: Any) -> None:
    shown = [[item.pair for item in corpus(5).pairs(_method(), index, 1)] for index in range(5)]
    expected = torch.stack([alone(student, pair) for group in shown for pair in group])
    torch.testing.assert_close(packed(student, shown), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        student.loss([pair for group in shown for pair in group]).detach(), expected, atol=1e-5, rtol=0
    )


def _method(name: str = "multitask+counterfactual") -> Any:
    from shrinklm.methods.spec import method

    return method(name)


def test_neighbours_change_nothing(student: Any) -> None:
    first = [item.pair for item in corpus(12).pairs(_method(), 0, 0)]
    others = [[item.pair for item in corpus(12).pairs(_method(), index, 0)] for index in range(1, 12)]
    torch.testing.assert_close(
        packed(student, [first, *others])[: len(first)], packed(student, [first]), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(
        packed(student, [*others, first])[-len(first) :], packed(student, [first]), atol=1e-5, rtol=0
    )


def test_attention_written_out_in_python_sees_the_same() -> None:
    student = fresh()
    before = packed(student, [pairs(), pairs()])
    student.model.set_attn_implementation("eager")
    torch.testing.assert_close(packed(student, [pairs(), pairs()]), before, atol=1e-5, rtol=0)


def test_one_row_holds_several_examples_and_the_question_once() -> None:
    student = fresh()
    groups = [[item.pair for item in corpus(4).pairs(_method("multitask"), index, 0)] for index in range(4)]
    batch = student.encode(groups)
    assert batch["input_ids"].shape[0] < 4
    whole = sum(student.length(pair) - 1 for group in groups for pair in group)
    assert int(batch["tokens"]) == int((batch["segment"] > 0).sum()) < 0.7 * whole
    text = student.tokenizer.decode([int(token) for row in batch["input_ids"] for token in row])
    assert text.count("number 2?") == 1


@pytest.mark.parametrize("spec", FAMILIES)
def test_defect_15_padding_is_never_scored(spec: str) -> None:
    student = fresh(spec)
    shown = [[item.pair for item in corpus(20).pairs(_method(), index, 0)] for index in range(20)]
    batch = student.encode(shown)
    scored = batch["labels"] != IGNORE
    assert int(scored.sum()) == sum(len(student.target_ids(pair.target)) for group in shown for pair in group)
    real = batch["segment"] > 0 if "segment" in batch else batch["attention_mask"] == 1
    assert not real.all(), "the case needs padding"
    other = {**batch, "input_ids": torch.where(real, batch["input_ids"], torch.full_like(batch["input_ids"], 77))}
    with torch.no_grad():
        for one, two in zip(student(batch), student(other), strict=True):
            torch.testing.assert_close(one, two, atol=1e-5, rtol=0)
    assert student.tokenizer.pad_token_id not in batch["labels"][scored].tolist()


@pytest.mark.parametrize("same", [False, True], ids=["own pad token", "pad is the end token"])
@pytest.mark.parametrize("spec", FAMILIES)
def test_defect_16_only_the_target_and_its_end_are_scored(spec: str, same: bool) -> None:
    student = fresh(spec)
    if same:
        student.tokenizer.pad_token = student.tokenizer.eos_token
    batch = student.encode([pairs()])
    with torch.no_grad():
        _, labels, owner = student.logits(batch)
    for number, pair in enumerate(pairs()):
        ids = labels[owner == number].tolist()
        assert ids == student.target_ids(pair.target)
        assert ids[-1] == student.tokenizer.eos_token_id
        assert student.tokenizer.decode(ids[:-1]).strip() == pair.target
    total, count = student(batch)
    assert count.tolist() == [len(student.target_ids(pair.target)) for pair in pairs()]
    torch.testing.assert_close(
        (total / count).detach(), torch.stack([alone(student, pair) for pair in pairs()]), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("spec", FAMILIES)
def test_defect_16_a_pair_that_is_too_long_is_refused_and_never_cut(spec: str) -> None:
    pair = max(pairs(), key=lambda pair: len(pair.prompt + pair.target))
    length = fresh(spec).length(pair)
    assert fresh(spec, max_length=length).loss([pair]).isfinite().all()
    short = fresh(spec, max_length=length - 1)
    with pytest.raises(
        StudentError, match=rf"does not fit the student's {length - 1}: .*Nothing is cut: raise `train: {{max_length"
    ):
        short.loss([pair])
    assert short.likelihood([pair])[0] < 0  # that limit is one of training; questions are asked whole


def test_what_the_model_cannot_read_is_refused_with_both_numbers() -> None:
    student = causal("gpt2")
    assert (student.positions, student.max_length) == (256, 256)
    with pytest.raises(
        StudentError,
        match=r"A pair of \d{3} \+ 9 tokens does not fit the student's 256: .*take a student that reads more",
    ):
        student.answer(["word " * 300], 9)
    assert fresh("tiny:seq2seq").answer(["word " * 2100], 2)  # relative positions have no end


@pytest.mark.parametrize("spec", FAMILIES)
def test_defect_18_a_pair_counts_once_whatever_its_length(spec: str) -> None:
    student = fresh(spec)
    short, long = Pair("Q\n[x]", "yes."), Pair("Q\n[x]", "a very much longer target " * 5)
    assert len(student.target_ids(long.target)) > 5 * len(student.target_ids(short.target))
    losses = student.loss([short, long]).detach()
    torch.testing.assert_close(losses, torch.stack([alone(student, short), alone(student, long)]), atol=1e-5, rtol=0)


# Likelihood and answers


def test_likelihood_is_a_forward_of_each_option_alone(student: Any) -> None:
    asked = [Pair(f"{example.text}\n[predict] The answer is", option) for example in many(3) for option in OPTIONS]
    expected = []
    for pair in asked:
        prompt, target = student.prompt_ids(pair.prompt), student.target_ids(pair.target, end=False)
        with torch.no_grad():
            if isinstance(student, Seq2SeqStudent):
                logits = student.model(input_ids=torch.tensor([prompt]), labels=torch.tensor([target])).logits[0]
            else:
                logits = student.model(input_ids=torch.tensor([prompt + target])).logits[0, len(prompt) - 1 : -1]
        expected.append(float(logits.log_softmax(-1)[torch.arange(len(target)), target].sum()))
    assert student.likelihood(asked) == pytest.approx(expected, abs=1e-4)
    assert student.likelihood(asked, batch=1) == pytest.approx(expected, abs=1e-4)
    assert student.likelihood([asked[0], Pair(asked[0].prompt, "")]) == pytest.approx([expected[0], 0.0], abs=1e-4)


@pytest.mark.parametrize("spec", FAMILIES)
def test_answers_come_in_order_whatever_the_batch(spec: str) -> None:
    student = fresh(spec)
    spread(student)
    prompts = [example.text + "\n[predict]" for example in many(7)]
    ticks: list[tuple[str, int, int, str]] = []
    said = student.answer(prompts, 6, batch=3, tick=lambda *tick: ticks.append(tick))
    assert said == [student.answer([prompt], 6)[0] for prompt in prompts]
    assert len(set(said)) > 1
    assert [(done, total) for _, done, total, _ in ticks] == [(3, 7), (6, 7), (7, 7)]
    assert student.answer([], 6) == []


@pytest.mark.parametrize("spec", FAMILIES)
def test_text_is_continued_before_and_after_answering_alike(spec: str) -> None:
    student = fresh(spec)
    spread(student)
    prompts = [f"Question: a long beginning that both of the prompts here have in common {word}" for word in "ab"]
    first = student.continue_text(prompts, 8)
    assert student.answer(prompts, 8) == first == student.continue_text(prompts, 8)
    with torch.no_grad():
        for weight in student.model.parameters():
            weight.mul_(-1)
    assert student.continue_text(prompts, 8) == student.answer(prompts, 8) != first, "nothing of the old weights"


def spread(student: Any) -> None:
    """Weights far apart, so that rounding cannot change which token is likeliest."""
    torch.manual_seed(1)
    for weight in student.model.parameters():
        torch.nn.init.normal_(weight, std=0.5)


def test_answers_follow_the_weights() -> None:
    student = fresh()
    beginning = "Question: a long beginning that all of the prompts here have in common, so that it is shared"
    prompts = [f"{beginning} {word}" for word in "abc"]
    spread(student)
    before = student.answer(prompts, 8)
    with torch.no_grad():
        for weight in student.model.parameters():
            weight.mul_(-1)
    other = fresh()
    other.model.load_state_dict(student.model.state_dict())
    assert student.answer(prompts, 8) == other.answer(prompts, 8) != before


# Preview


@pytest.mark.parametrize("spec", FAMILIES)
def test_tokens_are_those_of_the_prompt_and_the_scored_target(spec: str) -> None:
    student = fresh(spec)
    for pair in pairs():
        tokens, scored = student.tokens(pair)
        assert len(tokens) == len(scored) == student.length(pair)
        assert scored == sorted(scored)
        ids = student.tokenizer.convert_tokens_to_ids(
            [token for token, flag in zip(tokens, scored, strict=True) if flag]
        )
        assert ids == student.target_ids(pair.target)
        assert tokens[-1] == "<end>"


# LoRA and fewer layers


@pytest.mark.parametrize("spec", FAMILIES)
def test_lora_trains_adapters_only_and_saves_them_merged(spec: str, tmp_path: Path) -> None:
    student = fresh(spec, lora=4)
    trained = [name for name, weight in student.named_parameters() if weight.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    torch.manual_seed(3)
    for name, weight in student.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    losses, plain = student.loss(pairs()).detach(), fresh(spec).loss(pairs()).detach()
    assert not torch.allclose(losses, plain, atol=1e-3)
    prompts = [pair.prompt for pair in pairs()]
    said = student.answer(prompts, 5)
    student.save(tmp_path / "s")
    torch.testing.assert_close(student.loss(pairs()).detach(), losses, atol=1e-4, rtol=0)
    loaded = load_student(tmp_path / "s", "float32")
    torch.testing.assert_close(loaded.loss(pairs()).detach(), losses, atol=1e-4, rtol=0)
    assert loaded.answer(prompts, 5) == student.answer(prompts, 5) == said
    assert loaded.parameters_total == student.parameters_total == fresh(spec).parameters_total
    assert not [path.name for path in (tmp_path / "s").iterdir() if "adapter" in path.name]
    assert not [name for name in load_file(tmp_path / "s" / "model.safetensors") if "lora" in name]


@pytest.mark.parametrize("spec", FAMILIES)
def test_every_second_layer_still_runs_and_comes_back(spec: str, tmp_path: Path) -> None:
    whole, half = fresh(spec), fresh(spec, keep_every=2)
    assert half.parameters_total < whole.parameters_total
    assert half.loss(pairs()).isfinite().all()
    half.save(tmp_path / "s")
    loaded = load_student(tmp_path / "s", "float32")
    torch.testing.assert_close(loaded.loss(pairs()), half.loss(pairs()))
    assert loaded.answer(["Question: who?"], 4) == half.answer(["Question: who?"], 4)
    with pytest.raises(StudentError, match="`keep_every: 9` finds no stack of layers in "):
        fresh(spec, keep_every=9)


def test_layers_are_kept_evenly_with_the_first_and_the_last() -> None:
    # Three layers: as many as a decoder layer of T5 has parts, which are no layers. Encoder and decoder differ in
    # depth.
    depths = {"num_layers": 6, "num_decoder_layers": 3}
    config = T5Config(d_model=16, d_kv=4, d_ff=16, num_heads=4, vocab_size=100, decoder_start_token_id=0, **depths)
    model = T5ForConditionalGeneration(config)
    encoder, decoder = list(model.encoder.block), list(model.decoder.block)
    keep_layers(model, 2)
    assert list(model.encoder.block) == [encoder[0], encoder[2], encoder[5]]
    assert list(model.decoder.block) == [decoder[0], decoder[2]]
    assert (config.num_layers, config.num_decoder_layers) == (3, 2)
    assert [len(block.layer) for block in model.decoder.block] == [3, 3]
    assert model(input_ids=torch.tensor([[5, 6]]), labels=torch.tensor([[7]])).loss.isfinite()


def test_each_kept_layer_keeps_its_kind_of_attention(tmp_path: Path) -> None:
    small = {**SMALL, "num_hidden_layers": 5, "head_dim": 8, "sliding_window": 4}
    config = Gemma2Config(**small, vocab_size=600, attn_implementation="eager")
    kinds = list(config.layer_types)
    model = Gemma2ForCausalLM(config)
    keep_layers(model, 2)
    assert config.layer_types == [kinds[0], kinds[2], kinds[4]]
    assert [layer.self_attn.layer_idx for layer in model.model.layers] == [0, 1, 2]
    model.save_pretrained(tmp_path)
    again = Gemma2ForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    ids = torch.arange(1, 12)[None]
    torch.testing.assert_close(again(ids).logits, model.eval()(ids).logits)


# Saving, loading, names


@pytest.mark.parametrize("spec", FAMILIES)
def test_saved_students_come_back(spec: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    student = fresh(spec, max_length=200)
    (tmp_path / ".s.new").mkdir()
    (tmp_path / ".s.new" / "torn.safetensors").write_text("left by a kill")
    student.save(tmp_path / "s")
    student.save(tmp_path / "s")  # over itself
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    assert {path.suffix for path in (tmp_path / "s").iterdir()} == {".safetensors", ".json"}
    loaded = load_student(tmp_path / "s", "float32")
    assert type(loaded) is type(student)
    assert (loaded.max_length, loaded.parameters_total, loaded.training) == (200, student.parameters_total, False)
    torch.testing.assert_close(loaded.loss(pairs()), student.loss(pairs()))
    assert loaded.answer(["Question: who?"], 5) == student.answer(["Question: who?"], 5)
    assert next(load_student(tmp_path / "s", "bfloat16").model.parameters()).dtype == torch.bfloat16
    assert capfd.readouterr() == ("", "")


def test_no_student_in_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StudentError, match=r"No trained student in .* Run: shrinklm train RECIPE"):
        load_student(tmp_path)


def test_a_student_of_the_users_own_is_loaded_as_such(tmp_path: Path) -> None:
    student = opened("test_students:Mine")
    assert type(student) is Mine
    student.save(tmp_path / "s")
    assert json.loads((tmp_path / "s" / "shrinklm.json").read_text())["class"] == "test_students:Mine"
    assert type(load_student(tmp_path / "s", use="test_students:Mine")) is Mine
    with pytest.raises(StudentError, match="names the class 'test_students:Mine', which is not known here"):
        load_student(tmp_path / "s")


def test_unknown_students() -> None:
    with pytest.raises(UnknownName, match=r"No student is called 'tyni'\. Did you mean 'tiny'"):
        opened("tyni")
    with pytest.raises(StudentError, match="There are tiny and tiny:seq2seq"):
        opened("tiny:huge")


def test_defect_20_the_seed_draws_the_weights() -> None:
    one, same, other = fresh(seed=1), fresh(seed=1), fresh(seed=2)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


@pytest.mark.parametrize(
    "note", ["{}", "no json", '{"class": "os:system", "max_length": 8}', '{"class": "a:B", "max_length": "x"}']
)
def test_a_strange_note_in_a_student_folder_loads_nothing(tmp_path, note):
    (tmp_path / "shrinklm.json").write_text(note)
    with pytest.raises(StudentError, match=r"shrinklm\.json"):
        load_student(tmp_path)


def test_an_encoder_decoder_of_ones_own_states_its_family_alone() -> None:
    class Own(BaseStudent):
        family = "seq2seq"

    assert (Own.premise_in_target, CausalStudent.premise_in_target, BaseStudent.premise_in_target) == (
        True,
        False,
        False,
    )
