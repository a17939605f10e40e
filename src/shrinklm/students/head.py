"""What a student that chooses has above its encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .batch import float32


class Head(nn.Module):
    """Two outputs that are linear in a state: the score of an option, and whether a token's word is marked.

    Args:
        width: Of a state.
        spread: Standard deviation of the weights as they are drawn.
    """

    def __init__(self, width: int, spread: float) -> None:
        super().__init__()
        # One table for both, so that all of it has a gradient in every training, also with several processes.
        self.weight = nn.Parameter(torch.empty(2, width).normal_(std=spread))
        # Scores have none: a softmax over options does not see what is added to all of them.
        self.bias = nn.Parameter(torch.zeros(1))

    def scores(self, states: Tensor) -> Tensor:
        """[rows] of states [rows, width], at least in float32."""
        return float32(states.to(self.weight.dtype) @ self.weight.T)[..., 0]

    def odds(self, states: Tensor) -> Tensor:
        """[rows, tokens] of states [rows, tokens, width]: log-odds, at least in float32."""
        return float32(states.to(self.weight.dtype) @ self.weight.T)[..., 1] + float32(self.bias)
