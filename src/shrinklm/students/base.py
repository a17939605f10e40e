"""What both families of students share: loading, saving, pairs → tensors → one loss per pair. A family adds `encode` and `forward`."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from ..errors import StudentError
from ..models import Kind, Model, load, locate
from ..registry import find, split_spec
from ..types import Pair, Tick

Batch = dict[str, Tensor]
"""What `encode` makes and `forward` takes. Always holds `labels` (-100 where nothing is scored) and `pair` (whose token it is)."""

IGNORE = -100


class Student(Protocol):
    """A small model that learns pairs and answers prompts."""

    kind: str
    parameters: int

    def loss(self, pairs: Sequence[Pair]) -> Tensor:
        """One mean cross-entropy a pair, over its target's tokens only."""
        ...

    def answer(self, prompts: Sequence[str], max_tokens: int, batch: int = 32, tick: Tick | None = None) -> list[str]: ...

    def likelihood(self, pairs: Sequence[Pair], batch: int = 32) -> list[float]: ...

    def save(self, folder: Path) -> None: ...


class BaseStudent(nn.Module):
    """A transformers model with its tokenizer. As a module it maps a batch to (summed loss, scored tokens) of each pair."""

    family: ClassVar[Kind]

    def __init__(self, model: Any, tokenizer: Any, max_length: int = 1024) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.config = model.config

    @classmethod
    def open(
        cls, ref: str, root: Path = Path("."), *, lora: int | None = None, keep_every: int = 1, max_length: int = 1024, trust_remote_code: bool = False
    ) -> BaseStudent:
        """A student to train, in float32, from a hub id, folder or GGUF file. Raises ModelError or StudentError."""
        where: Model = locate(ref, root)
        model, tokenizer = load(where, cls.family, "float32", trust_remote_code)
        if keep_every > 1:
            keep_layers(model, keep_every)
        if lora:
            from peft import LoraConfig, get_peft_model

            task = "CAUSAL_LM" if cls.family == "causal" else "SEQ_2_SEQ_LM"
            model = get_peft_model(model, LoraConfig(r=lora, lora_alpha=2 * lora, lora_dropout=0.0, target_modules="all-linear", task_type=task))
        return cls(model, tokenizer, max_length)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        found: torch.device = next(self.model.parameters()).device
        return found

    @property
    def parameters_total(self) -> int:
        """How many weights it has; tied ones once."""
        return sum(weight.numel() for weight in self.model.parameters())

    def encode(self, groups: Sequence[Sequence[Pair]], end: bool = True) -> Batch:
        """Tensors of pairs, grouped by example. `end`: every target closes with the end token. Families differ here alone."""
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

    def loss(self, pairs: Sequence[Pair]) -> Tensor:
        """One mean cross-entropy a pair, [pairs], over its target's tokens only."""
        total, count = self(self.to_device(self.encode([[pair] for pair in pairs])))
        return total / count  # type: ignore[no-any-return]

    def to_device(self, batch: Batch) -> Batch:
        """The batch where the weights are."""
        return {name: value.to(self.device) for name, value in batch.items()}

    @torch.inference_mode()
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
            total, _ = self(self.to_device(self.encode(groups[start : start + batch], end=False)))
            found += (-total).tolist()
        return found

    def answer(self, prompts: Sequence[str], max_tokens: int, batch: int = 32, tick: Tick | None = None) -> list[str]:
        """What it says, greedily, to each prompt; at most `max_tokens` new tokens."""
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        said = [""] * len(prompts)
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            for index, text in zip(some, self.continue_text([prompts[index] for index in some], max_tokens), strict=True):
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

    def target_ids(self, text: str, end: bool = True) -> list[int]:
        """Token ids of what it must say; the end token closes them."""
        raise NotImplementedError

    def length(self, pair: Pair) -> int:
        """Tokens of the prompt and the target together."""
        return len(self.prompt_ids(pair.prompt)) + len(self.target_ids(pair.target))

    def tokens(self, pair: Pair) -> tuple[list[str], list[bool]]:
        """(tokens, whether each is scored) of one pair, as given to the model: for `preview --tokens`."""
        prompt, target = self.prompt_ids(pair.prompt), self.target_ids(pair.target)
        names = self.tokenizer.convert_ids_to_tokens(prompt + target)
        return list(names), [False] * len(prompt) + [True] * len(target)

    def save(self, folder: Path) -> None:
        """Writes safetensors, the tokenizer and shrinklm.json; LoRA adapters are merged in. All or nothing."""
        from transformers.utils import logging

        logging.disable_progress_bar()
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".saving-"))
        model = self.model.merge_and_unload() if hasattr(self.model, "merge_and_unload") else self.model
        model.save_pretrained(new)
        self.tokenizer.save_pretrained(new)
        (new / "shrinklm.json").write_text(json.dumps({"family": self.family, "max_length": self.max_length}))
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(new, folder)


def keep_layers(model: Any, every: int) -> None:
    """Keeps layers 0, n, 2n, ... of each stack, and the last (after DistilBERT-like initialisation by layer selection)."""
    stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) > every and hasattr(module[0], "forward")]
    config = model.config.get_text_config(decoder=True)
    depth = {getattr(config, name) for name in ("num_hidden_layers", "num_layers", "num_decoder_layers") if getattr(config, name, None)}
    stacks = [stack for stack in stacks if len(stack) in depth]
    if not stacks:
        raise StudentError(f"`keep_every: {every}` finds no stack of layers in {type(model).__name__}. Leave it out for this model.")
    for stack in stacks:
        kept = [stack[index] for index in range(0, len(stack), every)]
        if kept[-1] is not stack[-1]:
            kept[-1] = stack[-1]
        for index, layer in enumerate(kept):
            for module in layer.modules():
                if hasattr(module, "layer_idx"):
                    setattr(module, "layer_idx", index)  # noqa: B010 - nn.Module's own annotation allows tensors and modules only
        del stack[:]
        stack.extend(kept)
        for name in ("num_hidden_layers", "num_layers", "num_decoder_layers"):
            if getattr(config, name, None):
                setattr(config, name, len(kept))
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[: len(kept)]


def open_student(
    spec: str, root: Path = Path("."), *, lora: int | None = None, keep_every: int = 1, max_length: int = 1024, trust_remote_code: bool = False
) -> BaseStudent:
    """The student a recipe names, ready to train."""
    name, rest = split_spec(spec)
    family = find("students", spec if "." in name else name)
    found: BaseStudent = family.open(rest, root, lora=lora, keep_every=keep_every, max_length=max_length, trust_remote_code=trust_remote_code)
    return found


def load_student(folder: Path, dtype: str = "auto") -> BaseStudent:
    """A saved student, to ask. `dtype` "auto": bfloat16 where this machine is fast in it. Raises StudentError when there is none."""
    from ..models import bf16_supported

    note = folder / "shrinklm.json"
    if not note.is_file():
        raise StudentError(f"No trained student in {folder}. Run: shrinklm train RECIPE")
    about = json.loads(note.read_text())
    family: type[BaseStudent] = find("students", about["family"])
    precision = ("bfloat16" if bf16_supported() else "float32") if dtype == "auto" else dtype
    model, tokenizer = load(locate(str(folder.resolve())), family.family, precision)
    student = family(model, tokenizer, int(about["max_length"]))
    return student.to(default_device()).eval()


def default_device() -> torch.device:
    """The accelerator when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
