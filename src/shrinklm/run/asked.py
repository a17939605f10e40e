"""The recipe's blocks of models that are asked: the teacher and the judges."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ..core.secrets import is_secret, secrets
from ..teachers.base import TeacherOptions, Thinking
from .values import MOST_MEGABYTES, MOST_ROWS, Block, Names

WITH_THOUGHTS = 4096
"""Tokens of a completion where thinking is asked for: thoughts are many times longer than an explanation."""


class AskedBlock(Block):
    """A model that completes prompts: how it is reached, and what it may take."""

    use: str
    batch: int | None = Field(
        None,
        ge=1,
        description="Prompts that a local model continues at a time (left out: 32, of long ones 16), or requests at a "
        "time at most, at each server (left out: 128).",
    )
    thinking: Thinking | None = Field(
        None, description="off, low or high: how much a reasoning model may think. Left out: as it does by itself."
    )
    max_tokens: int | None = Field(
        None,
        ge=1,
        description=(
            "Cap of a completion, thoughts included. "
            f"Left out: the step's own; {WITH_THOUGHTS:,} with thinking low or high."
        ),
    )
    trust_remote_code: bool = Field(
        False, description="Run code that comes with a checkpoint. Only for sources you trust."
    )
    api_key_env: str = Field(
        TeacherOptions.api_key_env, description='endpoint: the environment variable that holds the key; "" for none.'
    )
    price: dict[Literal["input", "output"], float] | None = Field(
        None, description="Dollars per million tokens; known models need none."
    )
    extra: dict[str, Any] = Field(
        default_factory=dict,
        description="endpoint: further fields of each request, sent as they are. vllm-ray: settings of its engines.",
    )
    rate: dict[Literal["requests", "tokens"], int] = Field(
        default_factory=dict,
        description="endpoint: limits a minute, of all servers together; each server's own headers count too.",
    )
    timeout: float = Field(TeacherOptions.timeout, gt=0, description="endpoint: seconds that one request may take.")
    attempts: int = Field(
        TeacherOptions.attempts, ge=1, description="endpoint: tries of a question before it counts as failed."
    )
    failures: float = Field(
        TeacherOptions.failures, ge=0, le=1, description="endpoint: share of the last 50 questions that may fail."
    )

    @field_validator("thinking", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return "off" if value is False else value  # YAML reads a bare `off` as false

    @field_validator("extra")
    @classmethod
    def _no_secrets(cls, value: dict[str, Any]) -> dict[str, Any]:
        # A recipe is copied into the run folder, and shown in the report.
        for name in secrets(value):
            raise ValueError(
                f"'{name}' looks like a secret, and a recipe is written into the run folder. "
                "Put it into an environment variable, and name that: api_key_env: NAME"
            )
        return value

    @field_validator("api_key_env")
    @classmethod
    def _a_name(cls, value: str) -> str:
        if value and (is_secret(value) or not re.fullmatch(r"[A-Za-z_]\w*", value)):
            raise ValueError(
                "must be the name of an environment variable, such as OPENAI_API_KEY; never write the key itself"
            )
        return value

    def options(self, root: Path) -> TeacherOptions:
        """The options that the model is opened with; relative paths start at `root`."""
        return TeacherOptions(
            root=root,
            batch=self.batch,
            trust_remote_code=self.trust_remote_code,
            api_key_env=self.api_key_env,
            price=self.price,
            thinking=self.thinking,
            max_tokens=self.max_tokens or (WITH_THOUGHTS if self.thinking in ("low", "high") else None),
            extra=self.extra,
            timeout=self.timeout,
            attempts=self.attempts,
            failures=self.failures,
            requests_a_minute=self.rate.get("requests"),
            tokens_a_minute=self.rate.get("tokens"),
        )


class TeacherBlock(AskedBlock):
    """The model that writes the explanations."""

    use: str = Field(
        description=(
            "transformers:PATH_OR_ID, endpoint:URL#model (several servers: endpoint:URL,URL#model or "
            "endpoint:@FILE#model), endpoint-batch:URL#model, run:PATH#METHOD (a student that another run trained), "
            "recorded:FILE, fake, or module:attribute."
        )
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="recorded: step → column; {option} counts the options from 1."
    )
    most_rows: int | None = MOST_ROWS
    most_megabytes: float | None = MOST_MEGABYTES
    temperature: float = Field(0.0, ge=0, description="0 is greedy; a retry after a refusal samples at 0.7 at least.")
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int = 0
    retries: int = Field(2, ge=0, description="New tries, each with a new seed, after a refused generation.")

    def options(self, root: Path) -> TeacherOptions:
        """The options that the teacher is opened with; relative paths start at `root`."""
        made = super().options(root)
        return replace(made, columns=self.columns, most_rows=self.most_rows, most_megabytes=self.most_megabytes)


class JudgeModelBlock(AskedBlock):
    """One judge. It replies once, with greedy decoding."""

    use: str = Field(description="transformers:PATH_OR_ID, endpoint:URL#model, or module:attribute.")


def named_teachers(value: Any) -> dict[str, Any] | None:
    """Name → block of the teachers in a recipe's `teacher:`, the first first; None for one block without a name.

    A list of blocks or specs, each named by its `name` or else by its model; or a mapping of names to them. Raises
    ValueError for none at all and for two of a name.
    """
    if isinstance(value, Mapping):
        if isinstance(value.get("use"), str):
            if "name" not in value:
                return None
            value = [value]
        elif not value.keys() & TeacherBlock.model_fields.keys() and _are_teachers(list(value.values())):
            value = [{**_block(block), "name": name} for name, block in value.items()]
        else:
            return None  # a block with a mistake, which its own fields tell
    if not isinstance(value, (list, tuple)):
        return None
    if not value:
        raise ValueError("`teacher` names none. Write: teacher: {use: transformers:PATH_OR_ID}")
    blocks = [_block(item) for item in value]
    names = [_name(block) for block in blocks]
    if len(set(names)) < len(names):
        raise ValueError(f"two teachers are called the same: {', '.join(names)}. Give each a `name`.")
    return {
        name: {key: entry for key, entry in block.items() if key != "name"}
        for name, block in zip(names, blocks, strict=True)
    }


def _are_teachers(values: Sequence[Any]) -> bool:
    """Whether values under names are teachers, each a block or a spec, and not a block with a mistyped key."""
    # One spec alone may be a mistyped `use`.
    return any(isinstance(value, Mapping) and "use" in value for value in values) or (
        len(values) > 1 and all(isinstance(value, str) for value in values)
    )


def _block(item: Any) -> dict[str, Any]:
    if isinstance(item, str):
        return {"use": item}
    if not isinstance(item, Mapping):
        raise ValueError(f"a teacher is a block such as {{use: transformers:PATH_OR_ID}}, found {item!r}")
    if len(item) == 1 and "use" not in item:  # as steps are written: {strong: {use: ...}}
        ((name, block),) = item.items()
        return {**_block(block), "name": name}
    return dict(item)


def _name(block: Mapping[str, Any]) -> str:
    """A teacher's name: its own, else its model's."""
    use = str(block.get("use", "")).rstrip("/")
    return str(block.get("name") or re.split(r"[#/:]", use)[-1].removesuffix(".gguf"))


class DistilBlock(Block):
    """The teacher whose distributions over tokens students learn, by methods such as `multitask:kd=forward`."""

    teacher: str | None = Field(
        None,
        description="Name of a teacher of the recipe, transformers:PATH_OR_ID, run:PATH#METHOD, or `salient`, the one "
        "that `salient: {finetune: ...}` trains. Left out: the recipe's first that runs here.",
    )
    top: int = Field(
        64,
        ge=1,
        description="So many likeliest tokens are told apart, all others are one; as many as the vocabulary: the whole "
        "distribution.",
    )
    temperature: float = Field(1.0, gt=0, description="Divides the logits of teacher and student.")
    beta: float = Field(0.5, gt=0, lt=1, description="kd=jsd: the teacher's share in the mixture.")


class JudgeBlock(Block):
    """The models that rate the explanations, and the qualities that they rate."""

    use: tuple[JudgeModelBlock, ...] = Field(
        min_length=1,
        description=(
            "One judge or several, each a spec or a block. A model that wrote the explanations may not judge alone."
        ),
    )
    # The five that people rate in the study of arXiv 2504.16056.
    constructs: Names = Field(
        ("plausibility", "understandability", "completeness", "satisfaction", "contrastiveness"),
        description="What is rated from 1 to 5 (constructs.yaml); [] with `pairwise: true` compares only.",
    )
    pairwise: bool = Field(
        False, description="Also compare the methods' explanations two by two, each pair in both orders."
    )
    items: int | None = Field(
        100, ge=1, description="So many of the explained test questions, drawn by the seed; null: all."
    )
    seed: int = Field(0, description="Draws the questions, the order of asking and the order of the constructs.")
    wrote: tuple[str, ...] = Field(
        (), description="Names of the models that wrote a recording: they may not judge alone either."
    )

    @field_validator("use", mode="before")
    @classmethod
    def _judges(cls, value: Any) -> Any:
        return [
            {"use": item} if isinstance(item, str) else item
            for item in (value if isinstance(value, (list, tuple)) else [value])
        ]

    @model_validator(mode="after")
    def _asks(self) -> JudgeBlock:
        if not self.constructs and not self.pairwise:
            raise ValueError("asks for nothing: name `constructs`, or set `pairwise: true`")
        return self


class CascadeBlock(Block):
    """Which of a student's answers are kept, and who answers the other questions: see docs/deploy.md."""

    teacher: str | None = Field(
        None,
        description="A teacher of the recipe by its name, or a spec as in `teacher: {use: ...}`. Left out: the student "
        "abstains.",
    )
    accuracy: float | None = Field(
        None, gt=0, lt=1, description="Keep as many answers as can be, of which at least this share is right."
    )
    budget: float | None = Field(None, gt=0, lt=1, description="Pass on at most this share of the questions.")
    confidence: float = Field(
        0.95, gt=0, lt=1, description="How probably this holds for further questions, over draws of dev questions."
    )
    by: Literal["text", "likelihood"] = Field(
        "text", description="The student's answer: what it writes, or its likeliest option."
    )
    learn: bool | str = Field(
        False,
        description="Train on questions that were passed on, with the teacher's answers: `true`, those of this run; or "
        "the name of another run, or a file.",
    )

    @model_validator(mode="after")
    def _one_goal(self) -> CascadeBlock:
        if (self.accuracy is None) == (self.budget is None):
            raise ValueError("needs one goal: `accuracy: 0.9` or `budget: 0.2`, the share passed on")
        return self
