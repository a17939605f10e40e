"""Tiny random models of many architectures, by the configurations of transformers, with a byte-level tokenizer."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
}
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
PLAIN = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
NEO = {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]}
STATES = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}
WINDOW = {**SMALL, "sliding_window": 12}
KINDS = {**WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
LINEAR = {
    **SMALL,
    **EXPERTS,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "shared_expert_intermediate_size": 16,
}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
BART = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "decoder_start_token_id": 1,
}

PACKED: dict[str, dict[str, Any]] = {
    "llama": SMALL,
    "mistral": WINDOW,
    "mixtral": {**SMALL, **EXPERTS, "sliding_window": None},
    "gemma": SMALL,
    "gemma2": KINDS,
    "gemma3_text": KINDS,
    "gpt_oss": {**KINDS, **EXPERTS},
    "phi3": WINDOW,
    "qwen2": SMALL,
    "qwen2 window": {**WINDOW, "use_sliding_window": True, "max_window_layers": 1},
    "qwen3": SMALL,
    "olmo2": SMALL,
    "stablelm": SMALL,
    "granite": {**SMALL, "logits_scaling": 4.0},
    "starcoder2": WINDOW,
    "cohere2": KINDS,
    "smollm3": {**SMALL, "no_rope_layers": [1, 0]},
    "gpt2": GPT,
    "gptj": {**GPT, "rotary_dim": 4},
    "gpt_neox": SMALL,
    "opt": {**PLAIN, "ffn_dim": 48, "max_position_embeddings": 256, "word_embed_proj_dim": 32},
    "falcon": {**PLAIN, "alibi": False},
}
"""Those that honour a block mask and position ids."""
ALONE: dict[str, dict[str, Any]] = {
    "falcon alibi": {**PLAIN, "alibi": True},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "expansion_ratio": 2, "max_seq_len": 256},
    "gpt_neo": {**NEO, "window_size": 64, "max_position_embeddings": 256},
    "mamba": STATES,
    "mamba2": {**STATES, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 16},
    "rwkv": {"hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32},
    "recurrent_gemma": {**SMALL, "num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 12},
    "lfm2": {**SMALL, "layer_types": ["conv", "full_attention"], "block_ff_dim": 48},
    "qwen3_next": LINEAR,
    "falcon_h1": {
        **SMALL,
        "mamba_d_ssm": 32,
        "mamba_n_heads": 4,
        "mamba_d_head": 8,
        "mamba_d_state": 8,
        "mamba_n_groups": 1,
        "mamba_chunk_size": 16,
    },
}
"""Those that do not: one pair a row."""
SEQ2SEQ: dict[str, dict[str, Any]] = {"t5": T5, "bart": BART, "mbart": BART, "pegasus": BART, "longt5": T5}
BERT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
ENCODERS: dict[str, dict[str, Any]] = {
    "bert": {**BERT, "max_position_embeddings": 256},
    "distilbert": {"dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 256},
    "modernbert": {**BERT, "max_position_embeddings": 256, "cls_token_id": None, "sep_token_id": None},
    "deberta-v2": {
        **BERT,
        "max_position_embeddings": 256,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "type_vocab_size": 0,
    },
    "roberta": {**BERT, "max_position_embeddings": 258, "type_vocab_size": 1},
}
"""Those that read a whole text at once and write none."""


@cache
def tokenizer() -> Any:
    from shrinklm.students.tiny import build_tokenizer

    return build_tokenizer(300)


def bracketed(size: int = 300) -> Any:
    """A tokenizer that puts [CLS] and [SEP] around one text or two, as encoders have it."""
    from tokenizers.processors import TemplateProcessing

    from shrinklm.students.tiny import build_tokenizer

    made = build_tokenizer(size)
    made.add_special_tokens({"cls_token": "[CLS]", "sep_token": "[SEP]"})
    marks = [(mark, made.convert_tokens_to_ids(mark)) for mark in ("[CLS]", "[SEP]")]
    made.backend_tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=marks
    )
    return made


def saved_encoder(name: str, folder: Path, size: int = 300, **keys: Any) -> str:
    """The spec of an encoder of random weights, as its class draws them."""
    import torch
    from transformers import AutoConfig, AutoModel

    reads = bracketed(size)
    ids = {"vocab_size": len(reads), "pad_token_id": 0, "eos_token_id": None, "bos_token_id": None}
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model(name, **{**ids, **ENCODERS[name], **keys})).save_pretrained(folder)
    reads.save_pretrained(folder)
    return f"encoder:{folder}"


def build(name: str) -> Any:
    """A model whose weights are so large that every layer counts from the start."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    ids = {"vocab_size": len(tokenizer()), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    own = {**PACKED, **ALONE, **SEQ2SEQ}[name]
    torch.manual_seed(0)
    auto = AutoModelForSeq2SeqLM if name in SEQ2SEQ else AutoModelForCausalLM
    model = auto.from_config(AutoConfig.for_model(name.split()[0], **{**ids, **own}))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1 and weight.std() < 0.1:
                weight.mul_(8)
    return model.eval()


def saved(name: str, folder: Path) -> str:
    """The spec of a student with these weights."""
    build(name).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return f"{'seq2seq' if name in SEQ2SEQ else 'causal'}:{folder}"
