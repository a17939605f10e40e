"""The copy of a student that computes in bfloat16, while the weights that are trained stay in float32."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from ...models.exact import copied
from ..base import BaseStudent


class HalfCopy:
    """A student in bfloat16 and the float32 weights behind it.

    The weights are rounded once a step, not at every use as under autocast; small updates are kept, since they are
    added in float32.
    """

    def __init__(self, student: BaseStudent) -> None:
        # The tokenizer and what was found out about the model are shared; the weights are not.
        model, student.model = student.model, None
        try:
            self.student = copy.deepcopy(student, {id(student.tokenizer): student.tokenizer})
        finally:
            student.model = model
        self.student.model = copied(model)
        for weight in self.student.parameters():
            # Weights alone: positions in buffers (rotary frequencies) would lose what tells neighbours apart.
            if weight.dtype == torch.float32:
                weight.data = weight.data.to(torch.bfloat16)
        both = zip(student.parameters(), self.student.parameters(), strict=True)
        self._pairs = [(master, half) for master, half in both if master.requires_grad]

    def refresh(self) -> None:
        """Round the weights."""
        masters, halves = [master.detach() for master, _ in self._pairs], [half.detach() for _, half in self._pairs]
        torch._foreach_copy_(halves, masters)

    def collect(self) -> None:
        """Add the gradients of the copy to those of the weights, in float32."""
        sums: list[Tensor] = []
        parts: list[Tensor] = []
        for master, half in self._pairs:
            if half.grad is None:
                continue
            if master.grad is None:
                master.grad = half.grad.to(master.dtype)
            else:
                sums.append(master.grad)
                parts.append(half.grad)
            half.grad = None
        if sums:
            torch._foreach_add_(sums, [part.float() for part in parts])
