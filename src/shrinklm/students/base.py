"""What both families of students share: loading, saving, pairs → tensors → one loss per pair. A family adds `encode` and `forward`."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from ..core.errors import StudentError
from ..core.registry import find, names, split_spec
from ..core.types import Pair, Tick
from ..models.load import bf16_supported, load_model
from ..models.locate import Family, Model, locate_model

Batch = dict[str, Tensor]
"""What `encode` makes and `forward` takes. Always holds `labels` (-100 where nothing is scored), `pair` (whose token it is), `pairs`
(how many) and `tokens` (how many the model reads, padding not counted). `inputs_embeds` may stand in for `input_ids`."""

IGNORE = -100


class Student(Protocol):
    """A small model that learns pairs and answers prompts."""

    def loss(self, pairs: Sequence[Pair]) -> Tensor:
        """One mean cross-entropy a pair, over its target's tokens only."""
        ...

    def answer(self, prompts: Sequence[str], max_tokens: int, batch: int = 32, tick: Tick | None = None) -> list[str]:
        """What it says, greedily, to each prompt."""
        ...

    def likelihood(self, pairs: Sequence[Pair], batch: int = 32) -> list[float]:
        """Σ log p of each target's tokens given its prompt, without the end token."""
        ...

    def save(self, folder: Path) -> None:
        """Writes it to a folder that `load_student` reads."""
        ...


class BaseStudent(nn.Module):
    """A transformers model with its tokenizer. As a module it maps a batch to (summed loss, scored tokens) of each pair."""

    family: ClassVar[Family]

    def __init__(self, model: Any, tokenizer: Any, max_length: int = 1024) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.config = model.config
        self.positions: float = (
            getattr(self.config.get_text_config(decoder=True), "max_position_embeddings", None) or math.inf
        )
        """How many tokens the model itself can read; without end where positions are relative (T5)."""
        self.max_length = int(min(max_length, self.positions))

    @classmethod
    def open(
        cls, ref: str, root: Path = Path("."), *, lora: int | None = None, keep_every: int = 1, max_length: int = 1024,
        trust_remote_code: bool = False,
    ) -> BaseStudent:  # fmt: skip
        """A student to train, in float32, from a hub id, folder or GGUF file. Raises ModelError or StudentError."""
        where: Model = locate_model(ref, root)
        model, tokenizer = load_model(where, cls.family, "float32", trust_remote_code)
        return cls(adapted(model, cls.family, lora, keep_every), tokenizer, max_length)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        found: torch.device = next(self.model.parameters()).device
        return found

    @property
    def parameters_total(self) -> int:
        """How many weights it has; tied ones once."""
        return sum(weight.numel() for weight in self.model.parameters())

    def encode(self, groups: Sequence[Sequence[Pair]], end: bool = True, pack: bool = True) -> Batch:
        """Tensors of pairs, grouped by example. `end`: every target closes with the end token. `pack`: a row may hold several examples."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(summed cross-entropy, number of scored tokens), each [pairs]."""
        logits, labels, owner = self.logits(batch)
        losses = nn.functional.cross_entropy(logits.float(), labels, reduction="none")
        pairs = int(batch["pairs"])
        zeros = losses.new_zeros(pairs)
        return zeros.index_add(0, owner, losses), zeros.index_add(0, owner, torch.ones_like(losses))

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """(logits [scored, vocabulary], labels [scored], pair of each [scored]): only where a target stands."""
        raise NotImplementedError

    def owner(self, batch: Batch) -> Tensor:
        """[rows, tokens]: the pair of each token that the model reads, -1 for padding; a pair's prompt comes first."""
        raise NotImplementedError

    def attentions(self, batch: Batch) -> Sequence[Tensor]:
        """A layer each, [rows, heads, tokens that say, tokens that are read]; the model must compute attention "eager"."""
        raise NotImplementedError

    def loss(self, pairs: Sequence[Pair]) -> Tensor:
        """One mean cross-entropy a pair, [pairs], over its target's tokens only."""
        total, count = self(self.to_device(self.encode([[pair] for pair in pairs])))
        losses: Tensor = total / count
        return losses

    def to_device(self, batch: Batch) -> Batch:
        """The batch where the weights are."""
        return {name: value.to(self.device) for name, value in batch.items()}

    def likelihood(self, pairs: Sequence[Pair], batch: int = 32) -> list[float]:
        """Σ log p of each target's tokens given its prompt, without the end token. Pairs of one question are best adjacent."""
        found: list[float] = []
        groups: list[list[Pair]] = []
        for pair in pairs:
            if groups and groups[-1][0].prompt == pair.prompt:
                groups[-1].append(pair)
            else:
                groups.append([pair])
        for start in range(0, len(groups), batch):
            with torch.inference_mode():
                total, _ = self(self.to_device(self.encode(groups[start : start + batch], end=False)))
            found += (-total).tolist()
        return found

    def answer(self, prompts: Sequence[str], max_tokens: int, batch: int = 32, tick: Tick | None = None) -> list[str]:
        """What it says, greedily, to each prompt; at most `max_tokens` new tokens."""
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        said = [""] * len(prompts)
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            for index, text in zip(
                some, self.continue_text([prompts[index] for index in some], max_tokens), strict=True
            ):
                said[index] = text
            if tick:
                tick("answer", start + len(some), len(order), "")
        return said

    def continue_text(self, prompts: Sequence[str], max_tokens: int) -> list[str]:
        """One batch of `answer`."""
        raise NotImplementedError

    def prompt_ids(self, text: str) -> list[int]:
        """Token ids of what it is shown."""
        return list(self.tokenizer(text, add_special_tokens=True)["input_ids"])

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """(start, end) in `text` of each token of `prompt_ids`; (0, 0) for the model's own tokens. Raises StudentError."""
        if not self.tokenizer.is_fast:
            needs = "Attribution needs one of the `tokenizers` library (tokenizer.json)"
            raise StudentError(
                f"The tokenizer {type(self.tokenizer).__name__} does not say where its tokens stand. {needs}."
            )
        found = self.tokenizer(text, add_special_tokens=True, return_offsets_mapping=True)["offset_mapping"]
        return [(int(start), int(end)) for start, end in found]

    def target_ids(self, text: str, end: bool = True) -> list[int]:
        """Token ids of what it must say; the end token closes them."""
        raise NotImplementedError

    def length(self, pair: Pair) -> int:
        """Tokens of the prompt and the target together."""
        return len(self.prompt_ids(pair.prompt)) + len(self.target_ids(pair.target))

    def refuse(self, pair: Pair, prompt: int, target: int, end: bool) -> None:
        """Raises StudentError for a pair that does not fit: nothing is cut. Asked (`end` False), only the model itself sets a limit."""
        limit = self.max_length if end else self.positions
        if prompt + target > limit:
            advice = "raise `train: {max_length: ...}`" if limit < self.positions else "take a student that reads more"
            what = f"A pair of {prompt} + {target} tokens does not fit the student's {limit}"
            raise StudentError(f"{what}: {pair.prompt[:60]!r}. Nothing is cut: {advice}, or leave the question out.")

    def tokens(self, pair: Pair) -> tuple[list[str], list[bool]]:
        """(tokens, whether each is scored) of one pair, as given to the model: for `preview --tokens`."""
        prompt, target = self.prompt_ids(pair.prompt), self.target_ids(pair.target)
        names = self.tokenizer.convert_ids_to_tokens(prompt + target)
        return list(names), [False] * len(prompt) + [True] * len(target)

    def save(self, folder: Path) -> None:
        """Writes safetensors, the tokenizer and shrinklm.json, all or nothing. LoRA adapters become part of the weights, here too."""
        from transformers.utils import logging

        logging.disable_progress_bar()
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = folder.with_name(f".{folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)  # of a process that was killed here
        if hasattr(self.model, "merge_and_unload"):
            self.model = self.model.merge_and_unload()
        self.model.save_pretrained(new)
        self.tokenizer.save_pretrained(new)
        (new / "shrinklm.json").write_text(
            json.dumps({"family": self.family, "class": _name(type(self)), "max_length": self.max_length})
        )
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(new, folder)


def adapted(model: Any, family: Family, lora: int | None = None, keep_every: int = 1) -> Any:
    """The model with fewer layers, or with LoRA adapters of rank `lora` as its only trained weights. Raises StudentError."""
    if keep_every > 1:
        keep_layers(model, keep_every)
    if not lora:
        return model
    from peft import LoraConfig, get_peft_model

    task = "CAUSAL_LM" if family == "causal" else "SEQ_2_SEQ_LM"
    return get_peft_model(
        model, LoraConfig(r=lora, lora_alpha=2 * lora, lora_dropout=0.0, target_modules="all-linear", task_type=task)
    )


_DEPTHS = ("num_hidden_layers", "num_layers", "num_decoder_layers")


def keep_layers(model: Any, every: int) -> None:
    """Keeps layers 0, n, 2n, ... of each stack, the last in place of the last of these (layer selection as in DistilBERT)."""
    configs = _configs(model)
    depths = {getattr(config, name, None) for config in configs for name in _DEPTHS} - {None}
    stacks = [stack for stack in _stacks(model, depths) if len(stack) >= every]
    if not stacks:
        raise StudentError(
            f"`keep_every: {every}` finds no stack of layers in {type(model).__name__}. Leave it out for this model."
        )
    kept: dict[int, list[int]] = {}
    for stack in stacks:
        places = list(range(0, len(stack), every))
        if len(places) > 1:
            places[-1] = len(stack) - 1
        kept[len(stack)] = places
        layers = [stack[place] for place in places]
        for index, layer in enumerate(layers):
            for module in layer.modules():
                if hasattr(module, "layer_idx"):
                    module.layer_idx = index
        del stack[:]
        stack.extend(layers)
    for config in configs:
        types = getattr(config, "layer_types", None)
        if types and len(types) in kept:
            config.layer_types = [types[place] for place in kept[len(types)]]
        depth = {name: getattr(config, name, None) for name in _DEPTHS}
        for name, value in depth.items():
            if value in kept:
                setattr(config, name, len(kept[value]))


def _configs(model: Any) -> list[Any]:
    """The model's configuration and all that are part of it or of a part of it, each once."""
    found = {id(module.config): module.config for module in model.modules() if hasattr(module, "config")}
    waiting = list(found.values())
    while waiting:
        config = waiting.pop()
        for name in getattr(config, "sub_configs", None) or ():
            part = getattr(config, name, None)
            if part is not None and id(part) not in found:
                found[id(part)] = part
                waiting.append(part)
    return list(found.values())


def _stacks(module: Any, depths: set[Any]) -> list[Any]:
    """The lists of layers, not the lists inside a layer."""
    found: list[Any] = []
    for child in module.children():
        found += [child] if isinstance(child, nn.ModuleList) and len(child) in depths else _stacks(child, depths)
    return found


def open_student(
    spec: str, root: Path = Path("."), *, lora: int | None = None, keep_every: int = 1, max_length: int = 1024,
    trust_remote_code: bool = False,
) -> BaseStudent:  # fmt: skip
    """The student a recipe names, ready to train. Raises UnknownName, ModelError or StudentError."""
    name, rest = split_spec(spec)
    if name not in names("students"):  # "module:attribute"
        name, rest = spec, ""
    family: type[BaseStudent] = find("students", name)
    return family.open(
        rest, root, lora=lora, keep_every=keep_every, max_length=max_length, trust_remote_code=trust_remote_code
    )


def load_student(folder: Path, dtype: str = "auto", spec: str | None = None) -> BaseStudent:
    """A saved student, to ask.

    Args:
        folder: What `save` wrote.
        dtype: "auto" is bfloat16 where this machine is fast in it.
        spec: The recipe's word for the student. A class of the user's own is loaded only when this names it, never because the folder does.

    Raises:
        StudentError: there is no student in the folder, or it is of a class that is not known.
    """
    note = folder / "shrinklm.json"
    if not note.is_file():
        raise StudentError(f"No trained student in {folder}. Run: shrinklm train RECIPE")
    try:
        about = json.loads(note.read_text(encoding="utf-8"))
        kind, max_length = str(about["class"]), int(about["max_length"])
    except (ValueError, KeyError, TypeError) as error:
        raise StudentError(
            f"{note} is not what a trained student comes with ({error!r}). Train it again: shrinklm train RECIPE"
        ) from error
    own = [spec] if spec and split_spec(spec)[0] not in names("students") else []
    known: list[type[BaseStudent]] = [find("students", name) for name in [*names("students"), *own]]
    families = {_name(family): family for family in known}
    if kind not in families:
        raise StudentError(f"{note} names the class '{kind}', which is not known here. Known: {', '.join(families)}.")
    family = families[kind]
    place = Model(str(folder), folder.name, "", folder.resolve())
    model, tokenizer = load_model(place, family.family, asked_dtype() if dtype == "auto" else dtype)
    student = family(model, tokenizer, max_length)
    student.to(default_device()).eval()
    return student


def _name(kind: type[BaseStudent]) -> str:
    """What `save` writes of a class."""
    return f"{kind.__module__}:{kind.__qualname__}"


def asked_dtype() -> str:
    """The precision in which students answer here."""
    return "bfloat16" if bf16_supported() else "float32"


def default_device() -> Any:
    """The accelerator when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
