"""Surgery on a transformers model before it is trained: fewer layers, or LoRA adapters."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..core.errors import StudentError
from ..models.locate import Family

_DEPTHS = ("num_hidden_layers", "num_layers", "num_decoder_layers")
"""The names under which a configuration states the depth of a stack."""


def adapted(model: Any, family: Family, lora: int | None = None, keep_every: int = 1) -> Any:
    """The model with fewer layers, or with LoRA adapters of rank `lora` as its only trained weights.

    Raises StudentError.
    """
    if keep_every > 1:
        keep_layers(model, keep_every)
    if not lora:
        return model
    from peft import LoraConfig, get_peft_model

    task = {"causal": "CAUSAL_LM", "seq2seq": "SEQ_2_SEQ_LM", "encoder": "FEATURE_EXTRACTION"}[family]
    # Adapters are scaled by alpha / rank: with alpha = 2 rank by 2 at every rank, so that another rank changes how much
    # is trained and not how far a step goes.
    return get_peft_model(
        model, LoraConfig(r=lora, lora_alpha=2 * lora, lora_dropout=0.0, target_modules="all-linear", task_type=task)
    )


def keep_layers(model: Any, every: int) -> None:
    """Keep layers 0, n, 2n, ... of each stack, its last layer in place of the last of these (as DistilBERT selects).

    Raises StudentError when the model has no stack of so many layers.
    """
    configs = _configs(model)
    depths = {getattr(config, name, None) for config in configs for name in _DEPTHS} - {None}
    stacks = [stack for stack in _stacks(model, depths) if len(stack) >= every]
    if not stacks:
        raise StudentError(
            f"`keep_every: {every}` finds no stack of layers in {type(model).__name__}. Leave it out for this model."
        )
    # By depth, since stacks of one depth keep the same layers; so the configuration need not be told which is which.
    kept: dict[int, list[int]] = {}
    for stack in stacks:
        indices = list(range(0, len(stack), every))
        # A stack that shrinks to one layer keeps the first, which reads the embeddings.
        if len(indices) > 1:
            indices[-1] = len(stack) - 1  # the output was trained to read the last layer
        kept[len(stack)] = indices
        _keep(stack, indices)
    # A saved student is built from its configuration, so that states the new depth wherever it stated the old one.
    for config in configs:
        # Models that alternate kinds of attention (Gemma 2) list the kind of each layer.
        types = getattr(config, "layer_types", None)
        if types and len(types) in kept:
            config.layer_types = [types[index] for index in kept[len(types)]]
        depth = {name: getattr(config, name, None) for name in _DEPTHS}
        for name, value in depth.items():
            if value in kept:
                setattr(config, name, len(kept[value]))


def _keep(stack: Any, indices: list[int]) -> None:
    """Leave these layers of a stack alone, numbered anew."""
    layers = [stack[index] for index in indices]
    for index, layer in enumerate(layers):
        for module in layer.modules():
            # The number is where attention finds its keys and values in a cache: a gap would leave it without any.
            if hasattr(module, "layer_idx"):
                module.layer_idx = index
    del stack[:]
    stack.extend(layers)


def _configs(model: Any) -> list[Any]:
    """The model's configuration and all that are part of it or of a part of it, each once."""
    configs = {id(module.config): module.config for module in model.modules() if hasattr(module, "config")}
    waiting = list(configs.values())
    while waiting:
        config = waiting.pop()
        for name in getattr(config, "sub_configs", None) or ():
            part = getattr(config, name, None)
            if part is not None and id(part) not in configs:
                configs[id(part)] = part
                waiting.append(part)
    return list(configs.values())


def _stacks(module: Any, depths: set[Any]) -> list[Any]:
    """The lists of layers below a module, not the lists inside a layer."""
    stacks: list[Any] = []
    for child in module.children():
        # By the stated depth: a layer of T5 holds a list of its own parts, which are no layers.
        stacks += [child] if isinstance(child, nn.ModuleList) and len(child) in depths else _stacks(child, depths)
    return stacks
