"""Replies that explain nothing: the teacher declines, speaks of itself, asks back. And the pleasantries around one.

By the wording of English replies; a text in another language is judged by its form alone.
"""

from __future__ import annotations

import re

from ..core.sentences import sentence_spans, sentences
from ..core.types import Example

DECLINES = "the teacher declines"
ITSELF = "the teacher speaks of itself"
ASKS = "asks a question back"

# What a model says that it cannot do, and verbs that mean it with an object alone: "I can't do that".
_ACT = (
    r"(?:(?:help|assist|provide|answer|explain|comply|fulfil+|generate|write|produce|create|justify|recommend|endorse"
    r"|determine|respond|participate|promote|advocate|accommodate|proceed|defend|rationali[sz]e|fabricate|speculate"
    r"|elaborate|oblige|engage|argue|continue|support)\b"
    r"|(?:do|say|give|offer|make|choose|decide|tell|share|discuss|complete|process|satisfy|address|judge|verify|confirm"
    r"|think of|find|come up with|describe|access|form|express|see) (?:you|your|that|this|so|any|an?|the|why|how|what"
    r"|which)\b)"
)
_CANNOT = (
    r"(?:can(?:'t|not| not)|won't|will not|(?:am |'m )?(?:not|un) ?(?:currently |really )?(?:able|allowed"
    r"|permitted|comfortable|authori[sz]ed|equipped|programmed|designed|qualified|supposed|willing|going|in a position)"
    r"|must (?:not|decline|refuse)|refuse|decline|(?:would|'d) rather not|(?:would |'d )?prefer not"
    r"|(?:do not|don't) feel comfortable)"
)
_DECLINES = re.compile(
    # "I'm sorry, but I can't help with that", "I won't be able to assist", "I must decline to answer"
    r"\bi(?:'m| am|'ve)?(?:,? (?:really|simply|just|also|currently|still|truly|unfortunately|respectfully|politely"
    rf"|therefore|honestly),?)* ?{_CANNOT}(?: (?:be able|to|be|in good conscience|ethically|with|legally"
    rf"|possibly|really"
    rf"|currently|actually|even|even begin))*(?: {_ACT}|[.!]|\Z)"
    r"|\bi(?:'ll| will)? (?:(?:must|have to|need to|should|am going to|want to"
    r"|would like to) )?(?:(?:respectfully|politely"
    r"|kindly) )?(?:decline|refuse)\b"
    rf"|\bwe(?:'re| are)? (?:sorry|{_CANNOT}) (?:to )?(?:process|complete|fulfil+|answer|help|assist|respond to"
    rf"|provide)"
    r" (?:you|with|your|this|that|the request)"
    rf"|(?:\A|\b(?:sorry|unfortunately|apologies),? )(?:but )?(?:unable to|not able to|cannot|can't|can not"
    rf"|won't) {_ACT}"
    r"|\b(?:against|violat\w+|breach\w*|contrary to|conflicts? with|prohibited by|outside(?: of)?"
    r"|not permitted by|due to)"
    r" (?:my|our|openai's|the (?:content|usage|safety)|content|usage|safety) (?:\w+ )*?"
    r"(?:polic|guideline|programming|terms of|restrictions|capabilit|content|usage)"
    r"|\b(?:my|our) (?:\w+ )?(?:guidelines|programming|polic(?:y|ies)|training|developers|creators)\b.{0,40}(?:prevent"
    r"|prohibit|forbid|not (?:allow|permit)|n't (?:allow|permit|let)|require)"
    r"|\bnot (?:something|anything|a (?:topic|question|request)) (?:that |which )?i(?:'m| am| can| could| will"
    r"| would)\b"
    r"|\b(?:this|that|your) (?:request|prompt|query|content|response)(?: \w+)? (?:can(?:'t|not| not)|violates|is not"
    r" (?:allowed|permitted|supported|appropriate)|(?:was|has been|is) (?:blocked|flagged|filtered|declined|denied"
    r"|rejected|refused))"
    r"|\bbeyond (?:my|the scope of my) (?:\w+ )?(?:capabilit|abilit|knowledge|scope|expertise)"
    r"|\b(?:in)?(?:appropriate|ethical|possible|right|responsible|wrong|unethical)(?: \w+)? for me to\b"
    r"|\bi (?:do not|don't) (?:\w+ )?(?:have|possess) (?:\w+ )*?(?:information|knowledge|context|ability|capability"
    r"|data|access)\b|\bi (?:do not|don't) feel comfortable\b|\bi(?:'m| am) not comfortable\b"
    r"|\bi have no (?:idea|way of|information|knowledge)\b"
    r"|\bthere(?:'s| is) not enough (?:information|context)"
    r"|\Ai(?:'m| am) (?:so |very |really |truly |terribly )?sorry\b(?! (?:for|about|to hear))"
    r"|\A(?:(?:so |very |really )?sorry|my apologies|apologies)\s*[,.!:;—-]|\Ai apologi[sz]e\b"
    r"|\Ano comment\b|\Ai(?:'ll| will) pass\b|\A(?:i )?(?:do not|don't) know\W*\Z|\Ai(?:'m| am) not (?:sure"
    r"|certain)\W*\Z"
    r"|\A(?:n/?a|none|null|nil|not applicable|no (?:answer|explanation|reason)(?: \w+){0,3})\W*\Z",
    re.IGNORECASE,
)
_ITSELF = re.compile(
    r"\b(?:as|being|since i(?:'m| am)|because i(?:'m| am)|i(?:'m| am)|i, as)(?: (?:just|only|merely|simply"
    r"|still|also))?"
    r" an? (?:\w+[ -]){0,4}?(?:ai|a\.i\.|artificial intelligence|language model|large language model|llm|chat ?bot"
    r"|virtual assistant|digital assistant)\b"
    r"|\bi(?:'m| am) (?:just |only )?an? (?:\w+ )?(?:computer program|neural network|machine)\b"
    r"|\bas an? (?:\w+ )?(?:assistant|machine|bot|program), i\b|\bi(?:'m| am) an? (?:\w+ )?(?:assistant|bot)(?:\W|\Z)"
    r"|\bi(?:'m| am) (?:chatgpt|claude|gpt\S*|llama\S*|gemini|bard|qwen\S*|mistral|copilot|deepseek)\b"
    r"|\bmy (?:training data|knowledge cut-?off|last (?:knowledge )?update|programming|developers|training)\b"
    r"|\bi (?:was|am|have been) (?:trained|programmed|designed|developed|created|fine-?tuned) (?:by|to|on|as|with)\b"
    r"|\bi (?:do not|don't|cannot|can't) (?:have|hold|possess|form) (?:any )?(?:personal|human|real|subjective|own)"
    r"(?: \w+)? ?(?:opinion|belief|feeling|emotion|experience|preference|view)"
    r"|\bi (?:do not|don't) have (?:any )?(?:opinions|feelings|beliefs|emotions|preferences|consciousness)\b",
    re.IGNORECASE,
)
# Third persons: only where the question is not about them.
_MODEL = re.compile(r"\b(?:ai|language) (?:language )?models?\b|\bthe ai\b|\bchat ?gpt\b|\blarge language model", re.I)
_MODEL_ASKED = re.compile(r"\b(?:ai|a\.i\.|robots?|computers?|models?|chat ?bots?|machines?|intelligence)\b", re.I)
_ASKS = re.compile(
    r"\b(?:could|can|would|will) you (?:please |kindly |perhaps )?(?:be more|provide|clarify|specify|share|tell"
    r"|give|rephrase"
    r"|restate|reword|explain|elaborate|confirm|repeat|choose|describe|let me know|say more|send|mean)\b"
    r"|\b(?:please|kindly) (?:provide|clarify|specify|share|rephrase|restate|confirm|repeat|elaborate|tell me|give me"
    r"|let me know (?:which|what|if you (?:meant|mean)))\b"
    r"|\bwhat (?:would|do|did|exactly do) you (?:like|want|need|mean)\b|\bhow (?:can|may|could"
    r"|should) i (?:help|assist)\b"
    r"|\b(?:did|do) you mean\b|\bwhich (?:\w+ )?(?:are|do|did|were|would) you (?:refer\w*|mean|talking|ask\w*"
    r"|like|want)"
    r"|\bwhat (?:is|'s|are|was) (?:the|your) (?:question|options|choices|context)\s*\?"
    r"|\bi(?:'ll| will|'d| would)? need (?:some |a bit )?(?:more|additional|further) (?:information|context"
    r"|detail|info)"
    r"|\bcan i (?:ask|have|get|know)\b[^.!]*\?|\bmay i (?:ask|know)\b|\bis (?:this|that|it) what you\b",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"(?:sure(?: thing)?|certainly|of course|absolutely|definitely|okay|ok|alright|got it|understood|no problem"
    r"|hello|hi"
    r"(?: there)?|(?:(?:that's|what) )?an? (?:great|good|excellent|interesting) question|(?:great|good"
    r"|excellent) question"
    r"|thank(?:s| you)\b[^.!?:]{0,60}|(?:i'd|i would|i'll|i will|i am|i'm) (?:be )?(?:happy|glad"
    r"|pleased) to\b[^.!?:]{0,60}"
    r"|let me (?:explain|help|try|clarify)[^.!?:]{0,40})(?:\s*[.!:]+\s*|\s*[,–—]\s*(?=(?:here|let me|i)\b))"
    r"|(?:and )?(?:here(?:'s| is| are)|below is|the following is) (?:an?|the|my|your|one|some|another)"
    r" [^.!?:\n]{0,30}?(?:explanation|reason|reasoning|rationale|answer|response|revision|version|critique"
    r"|justification"
    r"|argument|counterfactual)s?\b[^.!?\n]{0,100}?(?::|\.(?=\s|\Z))\s*|here(?:'s| is) why\s*:\s*"
    r"|here you (?:go|are)\s*[.!:]+\s*",
    re.IGNORECASE,
)
_TRAIL = re.compile(
    r"(?:i (?:do )?hope|hope(?:fully)?) (?:this|that|it)\b.*(?:help|clear|useful|clarif|answer|sense|satisf|underst).*"
    r"|(?:please )?(?:let me know|feel free to (?:ask|reach|contact|let)|(?:do not|don't) hesitate to (?:ask"
    r"|reach|contact))\b.*"
    r"|(?:is there (?:anything|something) else|do you have any|do you (?:need|want me)|would you like (?:me|to"
    r"|more|another)"
    r"|(?:can|may|shall|should) i (?:help|assist|explain)|what else (?:can|may) i|does (?:this|that) (?:help|make sense"
    r"|answer)|any (?:other|more|further) questions)\b.*\?"
    r"|(?:if|should) you (?:have|need|want|would like|'d like) .*\b(?:let me know|feel free|hesitate to|ask me|i'm here"
    r"|i am here|i'd be happy|i can help)\b.*|\(?(?:word count\b|\d+ words\)).*|(?:you're|you are) welcome\W*"
    r"|(?:thank you|thanks)(?: for (?:your|the|asking)(?: \w+){0,4})?\W*|happy to help\W*",
    re.IGNORECASE | re.DOTALL,
)
# Without one of these words no rule for whole replies can match. In lower case, as `_hints` has the text: asked of each
# text, it would take four times as long in any case.
_HINT = re.compile(
    r"\b(?:i|i'\w+|me|my|we|our|you|your|sorry|apolog\w+|unable|cannot|unfortunately|ai|a\.i|chat ?gpt|language|policy"
    r"|policies|guidelines?|request|prompt|query|comment|know|n/?a|none|null|nil|applicable|no|please|kindly|sure"
    r"|question|enough|here(?:'s)?|thanks?)\b",
)
_QUOTED = re.compile(r"[\"“][^\"”]{0,200}[\"”]|(?<!\w)'[^']{1,100}'(?!\w)")


def pared(text: str) -> str:
    """`text` without the pleasantries before and after it: "Sure! Here is an explanation:", "I hope this helps!"."""
    while match := _LEAD.match(_spelled(text)):
        text = text[match.end() :]
    while _hints(text[-300:]) and (spans := _parts(text)):
        start, end = spans[-1]
        if not _TRAIL.fullmatch(_spelled(text[start:end]).strip()):
            break
        text = text[:start].rstrip()
    return text


def explains_nothing(text: str, example: Example) -> str | None:
    """The reason why a text is no explanation at all: it declines, speaks of a model, or asks back; else None."""
    if not _hints(text):
        return None
    # What is quoted is not said to the reader.
    parts = [_QUOTED.sub("''", _spelled(part)) for part in sentences(text)]
    asked = _spelled(" ".join((example.text, example.answer)))
    if any(_ITSELF.search(part) for part in parts):
        return ITSELF
    if any(_DECLINES.search(part.lstrip("\"'( ")) for part in parts):
        return DECLINES
    if any(_ASKS.search(part) for part in parts):
        return ASKS
    if not _MODEL_ASKED.search(asked) and any(_MODEL.search(part) for part in parts):
        return ITSELF
    return None


def _parts(text: str) -> list[tuple[int, int]]:
    """(start, end) of the sentences, and of what follows the last full stop."""
    spans = sentence_spans(text)
    end = spans[-1][1] if spans else 0
    return [*spans, (end, len(text))] if text[end:].strip() else spans


def _hints(text: str) -> bool:
    """Whether a text holds a word that the rules for whole replies need."""
    # A dotless i and a long s are, in any case, an i and an s to `re`.
    return _HINT.search(text.lower().translate({0x2019: "'", 0x2018: "'", 0x131: "i", 0x17F: "s"})) is not None


def _spelled(text: str) -> str:
    """`text` with one form of apostrophe; of the same length."""
    return text.translate({0x2019: "'", 0x2018: "'"})
