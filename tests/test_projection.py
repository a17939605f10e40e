"""The projection onto the vocabulary sees the tokens that carry a target, and the loss is that of a plain forward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from shrinklm.core.types import Pair
from shrinklm.methods.view import answer_pair
from shrinklm.students.causal import CausalStudent
from shrinklm.students.layers import adapted
from shrinklm.students.seq2seq import Seq2SeqStudent
from shrinklm.students.tiny import build_tokenizer
from student_cases import pairs

_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 1, "num_heads": 4, "decoder_start_token_id": 0}
_BART = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "max_position_embeddings": 256,
    "decoder_start_token_id": 0,
}  # fmt: skip
_LLAMA = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 512,
}  # fmt: skip
SEQ2SEQ: dict[str, tuple[str, dict[str, Any]]] = {
    "t5": ("T5", {**_T5, "tie_word_embeddings": True}),  # scales what the tied projection reads
    "t5 v1.1": ("T5", {**_T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "bart": ("Bart", _BART),  # adds a bias to its logits
    "mbart": ("MBart", _BART),  # its decoder begins with the target's last token
    "m2m-100": ("M2M100", _BART),  # has no method that shifts labels
}
CAUSAL: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "gemma2": ("Gemma2", {"final_logit_softcapping": 5.0, "attn_implementation": "eager"}),
    "granite": ("Granite", {"logits_scaling": 8.0}),
    "cohere": ("Cohere", {"logit_scale": 0.25}),
}


def student(name: str, double: bool = True) -> Any:
    tokenizer = build_tokenizer()
    ids = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    family, table = ("seq2seq", SEQ2SEQ) if name in SEQ2SEQ else ("causal", CAUSAL)
    kind, options = table[name]
    model = "ForConditionalGeneration" if family == "seq2seq" else "ForCausalLM"
    keys = ids | (options if family == "seq2seq" else _LLAMA | options)
    torch.manual_seed(0)
    made = getattr(transformers, kind + model)(getattr(transformers, f"{kind}Config")(**keys)).eval()
    if hasattr(made, "final_logits_bias"):
        made.final_logits_bias.normal_()
    made = made.double() if double else made
    return (Seq2SeqStudent if family == "seq2seq" else CausalStudent)(made, tokenizer)


def plain(model: Any, pair: Pair) -> float:
    """The model's own loss of one pair."""
    prompt, target = model.prompt_ids(pair.prompt), model.target_ids(pair.target)
    with torch.no_grad():
        if isinstance(model, Seq2SeqStudent):
            return float(model.model(input_ids=torch.tensor([prompt]), labels=torch.tensor([target])).loss)
        labels = torch.tensor([[-100] * len(prompt) + target])
        return float(model.model(input_ids=torch.tensor([prompt + target]), labels=labels).loss)


class Watched:
    """What the projection of a model was given: the tokens of each pass."""

    def __init__(self, model: Any) -> None:
        self.tokens: list[int] = []
        model.get_output_embeddings().register_forward_hook(
            lambda module, given, out: self.tokens.append(given[0].shape[:-1].numel())
        )


@pytest.mark.parametrize("name", [*SEQ2SEQ, *CAUSAL])
def test_only_tokens_of_targets_are_projected_and_the_loss_is_the_plain_one(name: str) -> None:
    model = student(name)
    expected = [plain(model, pair) for pair in pairs()]
    _ = model.reading  # tried out before, not while it is watched
    watched = Watched(model.model)
    assert model.loss(pairs()).tolist() == pytest.approx(expected, rel=1e-6)
    total, count = model(model.encode([pairs()]))
    assert (total / count).tolist() == pytest.approx(expected, rel=1e-6)
    scored = sum(len(model.target_ids(pair.target)) for pair in pairs())
    assert watched.tokens == [scored, scored]
    # Of an option that is scored, those of the option alone.
    option = answer_pair(pairs()[0].prompt, "The answer is", "stone")
    model.likelihood([option])
    assert watched.tokens[2:] == [len(model.tokenizer(" stone")["input_ids"])]


@pytest.mark.parametrize("name", SEQ2SEQ)
def test_an_option_is_scored_after_the_words_before_it(name: str) -> None:
    model = student(name)
    option = answer_pair(pairs()[0].prompt, "The answer is", "stone")
    prompt, target = model.prompt_ids(option.prompt), model.target_ids(option.target)
    before = len(model.target_ids("The answer is", end=False))
    with torch.no_grad():
        logits = model.model(input_ids=torch.tensor([prompt]), labels=torch.tensor([target])).logits[0]
    log_p = logits.log_softmax(-1)[range(len(target)), target]
    assert model.likelihood([option]) == pytest.approx([float(log_p[before:-2].sum())], rel=1e-6)


@pytest.mark.parametrize("name", ["t5", "gemma2"])
def test_adapters_are_trained_through_the_narrowed_projection(name: str) -> None:
    model = student(name)
    whole = model.loss(pairs()).tolist()
    lora = type(model)(adapted(model.model, model.family, lora=2), model.tokenizer)
    _ = lora.reading
    watched = Watched(lora.model.get_base_model())
    losses = lora.loss(pairs())
    assert losses.tolist() == pytest.approx(whole, rel=1e-6)  # fresh adapters change nothing
    losses.sum().backward()
    assert any(weight.grad is not None and weight.grad.any() for weight in lora.parameters())
    assert watched.tokens == [sum(len(lora.target_ids(pair.target)) for pair in pairs())]
