"""The chat template of a student: what turns a user's message into the prompt that the student was trained with."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from ...core.errors import ModelError
from ...core.types import Example
from ...methods.view import View
from .around import Around, around

QUESTION = Example("", "", (), "")


def chat_template(answer: View, explain: View | None, tokenizer: Any, blank: str = "") -> str:
    """A template in Jinja: the last message of the user, and the last line of the answering view's prompt.

    The message is a question as a model reads it (`Example.text`): context, "Question: ...", "Choices: (a) ...".
    Other messages are left out, a system message too: the student was trained without. With `explain=true` among the
    template's arguments, the last line is the explaining view's. `blank` stands before the question.

    Raises ModelError for a view whose prompt does not begin with the question.
    """
    own = around(tokenizer)
    ask = json.dumps(_last(answer), ensure_ascii=False)
    if explain is not None and explain != answer:
        why = json.dumps(_last(explain), ensure_ascii=False)
        ask = f"({why} if explain is defined and explain else {ask})"
    before = f"{json.dumps(blank)} + " if blank else ""
    return (
        f"{_first(own, tokenizer)}{{%- set ns = namespace(text='') -%}}"
        # The content of every message is looked at: llama.cpp puts a system message that a template never reads before
        # the user's.
        "{%- for message in messages -%}{%- set said = message['content'] -%}"
        "{%- if message['role'] == 'user' -%}{%- set ns.text = said -%}{%- endif -%}{%- endfor -%}"
        f"{{{{- {before}ns.text + {ask} -}}}}{_end(own, tokenizer)}"
    )


def fitting_template(answer: View, explain: View | None, tokenizer: Any) -> str:
    """The template from which transformers makes the tokens that the student was trained with.

    A tokenizer that puts a blank before the first word of a text alone puts none behind the token that opens a prompt:
    the template then holds the blank.
    """
    templates = [chat_template(answer, explain, tokenizer, blank) for blank in ("", " ")]
    fits = (template for template in templates if same_prompts(tokenizer, template, answer, [QUESTION]))
    return next(fits, templates[0])


def with_template(tokenizer: Any, template: str | None) -> Any:
    """The tokenizer with this chat template in the place of its own; None: without any."""
    shown = copy.copy(tokenizer)
    shown.chat_template = template
    return shown


def same_prompts(tokenizer: Any, template: str, view: View, examples: Sequence[Example]) -> int:
    """Of how many examples transformers makes the same tokens by the template as training did by the view."""
    found = 0
    for example in examples:
        asked = [{"role": "user", "content": example.text}]
        ids = tokenizer.apply_chat_template(asked, chat_template=template, tokenize=True, return_dict=False)
        found += list(ids) == list(tokenizer(view.prompt(example), add_special_tokens=True)["input_ids"])
    return found


def _last(view: View) -> str:
    """What a view's prompt adds to the question."""
    prompt = view.prompt(QUESTION)
    if not prompt.startswith(QUESTION.text):
        raise ModelError(f"The prompt of the view '{view.name}' does not begin with the question, as a chat's would.")
    return prompt.removeprefix(QUESTION.text)


def _first(own: Around, tokenizer: Any) -> str:
    """The tokens before a prompt: a server that applies a template adds none by itself."""
    if own.before and own.before == (tokenizer.bos_token_id,):
        return "{{- bos_token -}}"
    return _literal(own.before, tokenizer)


def _end(own: Around, tokenizer: Any) -> str:
    if own.after and own.after == (tokenizer.eos_token_id,):
        return "{{- eos_token -}}"
    return _literal(own.after, tokenizer)


def _literal(ids: Sequence[int], tokenizer: Any) -> str:
    text = "".join(tokenizer.convert_ids_to_tokens(list(ids)))
    return f"{{{{- {json.dumps(text, ensure_ascii=False)} -}}}}" if text else ""
