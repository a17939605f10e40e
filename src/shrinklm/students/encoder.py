"""Encoder-only students (BERT, DistilBERT, ModernBERT, DeBERTa ...): they choose among options, and write no text.

A question and one of its options are read as one row, [CLS] question [SEP] option [SEP]. The score of an option is
linear in the mean of the row's last states, and the probability of an option is a softmax over the scores of the
question's options: multiple choice as in BERT (arXiv 1810.04805, section 4.4), with the mean of all tokens in the place
of [CLS], which an encoder without a task of its own for it (ModernBERT, DeBERTa, DistilBERT) has never trained.

Marked words are chosen too: a second output of the head says of each token whether its word is marked. Explanations are
looked up (`lookup.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..core.errors import StudentError
from ..core.marking import words
from ..core.types import Example, Pair, Reply
from ..methods.corpus import ViewPair
from ..methods.terms import TERMS
from ..methods.view import Method, View
from ..models.decode import below_lora
from ..models.exact import Decoding
from ..models.locate import Family
from .around import Around
from .base import BaseStudent
from .batch import IGNORE, Batch, Scored, by_pair
from .blocks import Block
from .exact import Reading, examine_encoder
from .head import Head
from .likeliest import best, option_pairs, stated_options
from .lookup import Lookup
from .replies import Said
from .rows import Row, marked_tokens, mean_state, tensors, word_of
from .tokens import PairTokens, by_prompt

HEAD = "head.safetensors"
"""The file with the weights of the head, beside those of the encoder."""
LOOKED_UP = "looked up and not learned"
"""Why no pair of a view that explains is trained on."""


class EncoderStudent(BaseStudent):
    """An encoder with a head that scores options and marks words."""

    family: ClassVar[Family] = "encoder"
    decodings: ClassVar[tuple[Decoding, ...]] = ("uncached",)
    writes: ClassVar[bool] = False

    def __init__(self, model: Any, tokenizer: Any, max_length: int = 1024) -> None:
        super().__init__(model, tokenizer, max_length)
        if self.config.is_encoder_decoder:
            raise StudentError(
                f"{type(below_lora(model)).__name__} is an encoder–decoder, and 'encoder:' is for encoders alone, such "
                "as BERT. Write: student: {use: seq2seq:PATH_OR_ID}"
            )
        if (pooler := getattr(below_lora(model), "pooler", None)) is not None:
            pooler.requires_grad_(False)  # nothing reads it
        self.around = Around.of(tokenizer, self.config)
        # RoBERTa and its kin number their positions from behind that of padding.
        tables = (module for name, module in model.named_modules() if name.endswith("position_embeddings"))
        paddings = [getattr(table, "padding_idx", None) for table in tables]
        self.positions -= max((place + 1 for place in paddings if place is not None), default=0)
        self.max_length = int(min(max_length, self.positions))
        width = int(self.config.hidden_size)
        self.lookup: Lookup | None = None
        self.head = Head(width, float(getattr(self.config, "initializer_range", 0.02)))

    # What it can learn

    def refuse(self, method: Method, examples: Sequence[Example] = ()) -> None:
        """See BaseStudent."""
        for view in (*method.views, method.answer):
            if view.prefixed or ("answer" in view.says and view.says != ("answer",)):
                raise StudentError(
                    f"Method '{method.name}': an encoder writes no text, and the view '{view.name}' states its answer "
                    "beside one. It takes methods whose views either answer or explain, such as finetune, salient and "
                    "multitask; the others need a student that writes: causal:PATH_OR_ID or seq2seq:PATH_OR_ID."
                )
        if method.weigh is not None or any(view.emphasis is not None for view in method.views):
            raise StudentError(
                f"Method '{method.name}': an encoder learns no text, so that there are neither texts nor tokens of one "
                "to weigh. Take the option out: "
                f"{method.without('weigh') if method.weigh is not None else method.name.partition(':')[0]}"
            )
        if any(view.letters for view in method.views):
            raise StudentError(
                f"Method '{method.name}': an encoder reads the words of an option and states no letter. Take "
                "'target=letter' out."
            )
        for option in method.losses:
            name, known = option.partition("=")[0], TERMS.get(option.partition("=")[0])
            if known is None or not known.chooses or option == "options":
                why = (
                    "is what an encoder learns by anyway"
                    if option == "options"
                    else "is a term of the loss that needs the tokens of a text, which an encoder does not write"
                )
                of_options = ", ".join(each for each, of in TERMS.items() if of.chooses and each != name)
                raise StudentError(
                    f"Method '{method.name}': '{option}' {why}. Take it out: {method.name.partition(':')[0]}. Terms "
                    f"over the options of a question are for encoders too: {of_options}."
                )
        if examples and not any(len(set(example.choices)) > 1 for example in examples):
            raise StudentError(
                f"Method '{method.name}': an encoder chooses among the options of a question, and no question of this "
                "task has options. Name their column (task: {columns: {choices: NAME}}), or take a student that writes."
            )

    def beside(self, view: View, example: Example, pair: Pair) -> Sequence[Pair] | str:
        """See BaseStudent: the pairs of the other options."""
        if view.keep is not None:
            return ()
        if "explanation" in view.says:
            return LOOKED_UP
        options = stated_options(view, example, pair)
        return [
            other for other in options if other.option != pair.option
        ] or "an answer that is none of several options"

    # Pairs → tensors

    def tokenized(self, pairs: Sequence[Pair], end: bool) -> list[PairTokens]:
        """See BaseStudent: an option is read alone, without the sentence that states it."""
        prompt, second = cache(self.prompt_ids), cache(self._second)  # the pairs of a question repeat their prompt
        return [PairTokens(prompt(pair.prompt), [], second(pair.option) if pair.option else []) for pair in pairs]

    def prompt_ids(self, text: str) -> list[int]:
        """The token ids of a prompt, with those of the model's own around it."""
        return [*self.around.before, *self._ids(text), *self.around.between]

    def target_ids(self, text: str, end: bool = True) -> list[int]:
        """The token ids of a text."""
        return self._ids(text)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """See BaseStudent."""
        if not self.tokenizer.is_fast:
            return super().offsets(text)  # which says that it knows none
        row = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        own = [(0, 0)]
        inner = [(int(start), int(end)) for start, end in row["offset_mapping"]]
        return own * len(self.around.before) + inner + own * len(self.around.between)

    def encode(self, groups: Sequence[Sequence[Pair]], end: bool = True, pack: bool = True) -> Batch:
        """One row a pair.

        Pairs of a group with one prompt and different options are compared with each other.

        Returns what `rows.tensors` makes of them. Raises StudentError for a pair that does not fit.
        """
        rows = []
        for group in groups:
            tokens = self.tokenized(group, end)
            for pair, ids in zip(group, tokens, strict=True):
                self.check_length(pair, len(ids.prompt), len(ids.scored), end)
            rows.append([Row(pair, ids, self._marks(pair)) for pair, ids in zip(group, tokens, strict=True)])
        return tensors(rows, self.tokenizer.pad_token_id or 0)

    def batch(self, blocks: Sequence[Block], rows: Sequence[Sequence[int]] | None = None) -> Batch:
        """Raises StudentError: token ids alone do not say which options are compared; see `encode`."""
        raise StudentError("An encoder makes its tensors of pairs: use `encode`.")

    def inputs(self, batch: Batch) -> dict[str, Any]:
        """See BaseStudent."""
        read = "inputs_embeds" if "inputs_embeds" in batch else "input_ids"
        kinds = {"token_type_ids": batch["kinds"]} if self.around.kinds else {}
        return {read: batch[read], "attention_mask": batch["attention_mask"], **kinds}

    def owner(self, batch: Batch) -> Tensor:
        """See BaseStudent."""
        return batch["pair"].masked_fill(batch["attention_mask"] == 0, -1)

    def attentions(self, batch: Batch) -> Sequence[Tensor]:
        """See BaseStudent."""
        attentions: Sequence[Tensor] = self.model(**self.inputs(batch), output_attentions=True).attentions
        return attentions

    # The loss

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(summed loss, number of its terms), each [pairs].

        Of an option the negative logarithm of its share in a softmax over the options that it is compared with, one
        term; of a pair that marks words the binary cross-entropy of each token of a word.
        """
        states = self.states(batch)
        scores = self._score(states, batch)
        compared_with = scores.new_full((int(batch["groups"]), int(batch["most"])), -torch.inf)
        where = batch["group"], batch["place"]
        losses = -compared_with.index_put(where, scores).log_softmax(-1)[where]
        if not int(batch["marked"]):
            return losses, torch.ones_like(losses)
        asked = (batch["labels"] != IGNORE) & batch["marks"][:, None]
        labels = batch["labels"].masked_fill(~asked, 0).to(scores.dtype)
        by_token = nn.functional.binary_cross_entropy_with_logits(self._marking(states), labels, reduction="none")
        marking, count = by_token.masked_fill(~asked, 0).sum(1), asked.sum(1).to(scores.dtype)
        return torch.where(batch["marks"], marking, losses), torch.where(batch["marks"], count, 1.0)

    def scored(self, batch: Batch, logits: bool = False, states: bool = False) -> Scored:
        """Raises StudentError: there are no tokens of a text to tell of."""
        raise StudentError("An encoder writes no text, so no term of the loss can read its tokens.")

    def loss(self, pairs: Sequence[Pair]) -> Tensor:
        """See BaseStudent. The options that are compared must be adjacent."""
        total, count = self(self.to_device(self.encode(by_prompt(pairs))))
        losses: Tensor = total / count.clamp(min=1)
        return losses

    def attributed(self, batch: Batch, pairs: int) -> Tensor:
        """See BaseStudent: the score of each pair's option, before any softmax."""
        return by_pair(self._score(self.states(batch), batch), batch["pair"][:, 0], pairs)

    def states(self, batch: Batch) -> Tensor:
        """[rows, tokens, width]: the last layer."""
        states: Tensor = self.model(**self.inputs(batch)).last_hidden_state
        return states

    def _score(self, states: Tensor, batch: Batch) -> Tensor:
        """[rows]: the score of each option."""
        return self.head.scores(mean_state(states, batch))

    def _marking(self, states: Tensor) -> Tensor:
        """[rows, tokens]: log-odds that a token's word is marked."""
        return self.head.odds(states)

    # Answers

    def say(self, view: View, examples: Sequence[Example], batch: int) -> list[Said]:
        """See BaseStudent: the sentence of the view that states the likeliest option, the marked words, or the
        explanation of the nearest training question.

        Nothing for a question without options, and where there is no explanation to look up.
        """
        if view.keep is not None:
            return [Said(" ".join(found), False, True) for found in self.mark_words(view, examples, batch)]
        if view.says != ("answer",):
            return self._look_up(view, examples, batch)
        groups = [option_pairs(view.prompt(example), view.lead, example.choices) for example in examples]
        values = iter(self.likelihood([pair for group in groups for pair in group], batch))
        chosen = [best({pair.option: next(values) for pair in group}, per_character=False) for group in groups]
        return [Said(view.states(option) if option else "", False, True) for option in chosen]

    def remember(self, shown: Iterable[ViewPair]) -> None:
        """See BaseStudent: the last explanation of each question that it was shown."""
        texts = {
            item.pair.prompt: item.pair.target
            for item in shown
            if item.view.says == ("explanation",) and not item.view.keep
        }
        if texts:
            self.lookup = Lookup.of(self.embed(list(texts)), list(texts.values()))

    def embed(self, prompts: Sequence[str], batch: int = 32) -> Tensor:
        """[prompts, width]: the mean state of each prompt."""
        means = []
        for start in range(0, len(prompts), batch):
            pairs = [[Pair(prompt, "")] for prompt in prompts[start : start + batch]]
            read = self.to_device(self.encode(pairs, end=False))
            with torch.inference_mode():
                means.append(mean_state(self.states(read), read).cpu())
        return torch.cat(means)

    def _look_up(self, view: View, examples: Sequence[Example], batch: int) -> list[Said]:
        if self.lookup is None or not examples:
            return [Said("", False, True) for _ in examples]
        found = self.lookup.nearest(self.embed([view.prompt(example) for example in examples], batch))
        return [Said(text, False, True) for text in found]

    def mark_words(self, view: View, examples: Sequence[Example], batch: int) -> list[list[str]]:
        """The words of each question that are marked, as many and in the order that the view keeps."""
        assert view.keep is not None
        found = []
        for start in range(0, len(examples), batch):
            chunk = examples[start : start + batch]
            prompts = [view.prompt(example) for example in chunk]
            read = self.to_device(self.encode([[Pair(prompt, "")] for prompt in prompts], end=False))
            with torch.inference_mode():
                odds = self._marking(self.states(read)).tolist()
            for example, prompt, values in zip(chunk, prompts, odds, strict=True):
                known = words(example)
                held: list[list[float]] = [[] for _ in known]
                for value, index in zip(values, word_of(prompt, known, self.offsets(prompt)), strict=False):
                    if index >= 0:
                        held[index].append(value)
                # A word without a token of its own, as in scripts without blanks, is never chosen before others.
                scores = [sum(each) / len(each) if each else -torch.inf for each in held]
                found.append([known[index].text for index in view.keep.choose(example, scores)])
        return found

    def tokens(self, pair: Pair) -> tuple[list[str], list[bool]]:
        """See BaseStudent; of a pair that marks words, those that are marked."""
        names, chosen = super().tokens(pair)
        return names, chosen if pair.option else [mark == 1 for mark in self._marks(pair)]

    def decode(self, prompts: Sequence[str], begun: Sequence[str], max_tokens: int) -> list[Reply]:
        """Raises StudentError: it writes no text."""
        raise StudentError("An encoder writes no text: it chooses among the options of a question. Ask for `say`.")

    # Saving

    def examined(self) -> Reading:
        """See BaseStudent."""
        examine_encoder(self)
        return Reading(self.layouts[0], self.decodings[0])

    def copied(self) -> Self:
        """See BaseStudent."""
        other = super().copied()
        other.head.load_state_dict(self.head.state_dict())
        return other

    def save_beside(self, folder: Path) -> None:
        """See BaseStudent: the head, and the explanations that are looked up."""
        save_file({name: weight.cpu().contiguous() for name, weight in self.head.state_dict().items()}, folder / HEAD)
        if self.lookup is not None:
            self.lookup.save(folder)

    def load_beside(self, folder: Path) -> None:
        """See BaseStudent."""
        self.head.load_state_dict(load_file(folder / HEAD))
        self.lookup = Lookup.read(folder)

    # Tokens

    def _ids(self, text: str) -> list[int]:
        # Not verbose: whether a text fits is looked at elsewhere.
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) if text else []

    def _second(self, text: str) -> list[int]:
        return [*self._ids(text), *self.around.after]

    def _marks(self, pair: Pair) -> list[int]:
        return [] if pair.option else marked_tokens(pair.prompt, pair.target, self.offsets(pair.prompt))
