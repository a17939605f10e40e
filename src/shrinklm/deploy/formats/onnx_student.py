"""A student's ONNX graphs in onnxruntime, asked as any other student."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import ModelError
from ...core.launched import threads
from ...core.types import Reply
from ...students.tokens import PairTokens
from .asked import TokenizerStudent
from .onnx_model import CAUSAL, DECODER, ENCODER, require

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    State = dict[str, Array]
    """The inputs that stay: keys and values of what was read, by the names of the inputs."""


class OnnxStudent(TokenizerStudent):
    """A folder that `write_onnx` made, with its tokenizer and config.json. Raises ModelError when it cannot be read."""

    runtime = "onnxruntime"

    def __init__(self, folder: Path) -> None:
        require()
        super().__init__(folder, (folder / ENCODER).is_file())
        config = json.loads((folder / "config.json").read_bytes())
        generation = folder / "generation_config.json"
        ends = json.loads(generation.read_bytes()).get("eos_token_id") if generation.is_file() else None
        self._ends = {*([ends] if isinstance(ends, int) else ends or []), self.tokenizer.eos_token_id}
        self._start: int | None = config.get("decoder_start_token_id")
        positions = None if self._encodes else config.get("max_position_embeddings")
        self.positions = positions or math.inf
        self._decoder = _session(folder / (DECODER if self._encodes else CAUSAL))
        self._encoder = _session(folder / ENCODER) if self._encodes else None
        self._inputs = {each.name: each.shape for each in self._decoder.get_inputs()}
        self._outputs = [each.name for each in self._decoder.get_outputs()]
        self._known: tuple[list[int], State, Array] | None = None

    def write(self, prompt: list[int], begun: list[int], max_tokens: int) -> Reply:
        """See RuntimeStudent."""
        state, logits = self._read(prompt)
        if begun:
            state, told = self._step(state, begun)
            logits = told[-1]
        said: list[int] = []
        while len(said) < max_tokens:
            token = int(logits.argmax())
            if token in self._ends:
                return Reply(self._text(said), finished=True)
            said.append(token)
            if len(said) < max_tokens:
                state, told = self._step(state, [token])
                logits = told[-1]
        return Reply(self._text(said), finished=False)

    def log_p(self, tokens: PairTokens) -> float:
        """See RuntimeStudent."""
        import numpy as np

        state, last = self._read(tokens.prompt)
        following = tokens.target[:-1]
        told = np.concatenate([last[None], self._step(state, following)[1]]) if following else last[None]
        logits = told[len(tokens.given) :].astype(np.float64)
        most = logits.max(-1)
        norm = most + np.log(np.exp(logits - most[:, None]).sum(-1))
        return float((logits[range(len(tokens.scored)), tokens.scored] - norm).sum())

    def close(self) -> None:
        """See RuntimeStudent."""
        self._decoder = self._encoder = self._known = None

    def _read(self, prompt: list[int]) -> tuple[State, Array]:
        """What is known after a prompt, and the logits of its next token, [vocabulary]; the last one is remembered."""
        if self._known is None or self._known[0] != prompt:
            state, first = self._nothing(), prompt
            if self._encoder is not None:
                if self._start is None:
                    raise ModelError("config.json names no decoder_start_token_id.")
                mask = _numbers([1] * len(prompt))
                read = self._encoder.run(None, {"input_ids": _numbers(prompt), "attention_mask": mask})
                names = [each.name for each in self._encoder.get_outputs()]
                state |= {**dict(zip(names, read, strict=True)), "encoder_attention_mask": mask}
                first = [self._start]
            state, logits = self._step(state, first)
            self._known = prompt, state, logits[-1]
        return self._known[1], self._known[2]

    def _nothing(self) -> State:
        import numpy as np

        return {
            name: np.zeros((1, shape[1], 0, shape[3]), dtype=np.float32)
            for name, shape in self._inputs.items()
            if name.startswith("past_key_values.")
        }

    def _step(self, state: State, ids: list[int]) -> tuple[State, Array]:
        """What is known after further tokens, and the logits after each of them, [tokens, vocabulary]."""
        before = next(value.shape[2] for name, value in state.items() if name.startswith("past_key_values."))
        given: State = {**state, "input_ids": _numbers(ids)}
        if not self._encodes:
            given["attention_mask"] = _numbers([1] * (before + len(ids)))
            given["position_ids"] = _numbers(range(before, before + len(ids)))
        # A model that computes its positions by itself has no input for them.
        given = {name: value for name, value in given.items() if name in self._inputs}
        told = dict(zip(self._outputs, self._decoder.run(None, given), strict=True))
        logits = told.pop("logits")[0]
        return state | {name.replace("present", "past_key_values", 1): value for name, value in told.items()}, logits


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class for each kind; all mean the same here
        raise ModelError(f"onnxruntime cannot read {path}: {str(error).splitlines()[0]}.") from error


def _numbers(ids: Any) -> Array:
    """[1, tokens]."""
    import numpy as np

    return np.asarray([list(ids)], dtype=np.int64)
