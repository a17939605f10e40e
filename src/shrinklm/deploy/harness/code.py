"""The code beside exported questions. It needs nothing of this package, so that it runs where the tool alone is."""

from __future__ import annotations

_READ = '''
def read_rows():
    """The questions, one object each."""
    with (Path(__file__).parent / "test.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def stated(reply, row):
    """The answer that a reply states: an option, or the words behind "The answer is"."""
    parts = re.split(re.escape(row["lead"]), reply, flags=re.IGNORECASE) if row["lead"] else [reply]
    said = parts[min(1, len(parts) - 1) if row["answers_first"] else -1].strip(" :\\n")
    named = [option for option in row["options"] if re.match(re.escape(option) + r"(?!\\w)", said, re.IGNORECASE)]
    return max(named, key=len) if named else re.split(r"\\.\\s+(?=[A-Z])|\\n", said)[0].rstrip(" .")


def is_right(reply, row):
    """Whether a reply states the right option, or an accepted answer in other case and punctuation."""
    answer = stated(reply, row)
    if row["options"]:
        return answer == row["answer"]
    return plain(answer) in map(plain, row["accepted"])


def plain(text):
    """Lower case, without punctuation, articles and doubled blanks."""
    words = re.sub(r"[^\\w\\s.-]", "", text.casefold()).strip(".").split()
    return " ".join(word for word in words if word not in ("a", "an", "the"))
'''

LM_EVAL = (
    '''"""Questions and scores of the tasks in this folder, for lm-evaluation-harness. Written by shrinklm."""

import json
import re
from pathlib import Path

import datasets


def questions(**options):
    """The test split."""
    return {"test": datasets.Dataset.from_list(read_rows())}


def right(doc, results):
    """Whether the reply is right."""
    return {"acc": float(is_right(results[0], doc))}

'''
    + _READ
)
INSPECT = (
    '''"""A task for Inspect. Written by shrinklm.

The question is the user's message; the chat template of the exported student makes the prompt of it that the student
was trained with.
"""

import json
import re
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import CORRECT, INCORRECT, Score, accuracy, scorer, stderr
from inspect_ai.solver import generate


@task
def TASK_NAME():
    """The test questions."""
    samples = [
        Sample(id=row["id"], input=row["question"], target=row["accepted"], metadata=row) for row in read_rows()
    ]
    return Task(
        dataset=MemoryDataset(samples, name="TASK_NAME"),
        solver=generate(),
        scorer=states_answer(),
        config=GenerateConfig(max_tokens=MAX_TOKENS),
    )


@scorer(metrics=[accuracy(), stderr()])
def states_answer():
    """Right where the reply states the right answer."""

    async def score(state, target):
        reply = state.output.completion
        value = CORRECT if is_right(reply, state.metadata) else INCORRECT
        return Score(value=value, answer=stated(reply, state.metadata), explanation=reply)

    return score

'''
    + _READ
)
