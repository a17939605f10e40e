from __future__ import annotations

TokensPrompt = TextPrompt = MultiModalDataDict = dict
