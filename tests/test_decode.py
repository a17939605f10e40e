"""The decoder against transformers' own generate; shared beginnings; rows that stop on their own; sampling."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from shrinklm.models import decode
from shrinklm.models.decode import Decoder
from shrinklm.models.load import load_model
from shrinklm.models.locate import locate_model
from shrinklm.models.rows import Continuation, Row, Source, pick, shared_beginning
from shrinklm.models.shared import SharedCache
from teacher_cases import tiny_model

BEGINNING = "You explain answers in one short sentence, and here is an example of how that is done by people who know: "
TEXTS = ["why ropes hold", "a bank", "what do beavers build out of wood, and where do they do it", "no"]


@pytest.fixture(scope="module", params=["llama", "gemma2"])
def decoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    """A plain model, and one with soft-capped scores, which takes the other path."""
    folder = tiny_model(tmp_path_factory.mktemp("model"))
    model, tokenizer = load_model(locate_model(str(folder)), "causal")
    if request.param == "gemma2":
        small = {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
        }
        ids = {
            "vocab_size": len(tokenizer),
            "pad_token_id": 0,
            "eos_token_id": tokenizer.eos_token_id,
            "bos_token_id": None,
        }
        torch.manual_seed(0)
        model = Gemma2ForCausalLM(Gemma2Config(**small, head_dim=8, attn_implementation="eager", **ids)).eval()
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.5)
    found = Decoder(model, tokenizer)
    assert found.plain == (request.param == "llama")
    return found


def ids(decoder: Decoder, texts: list[str]) -> list[list[int]]:
    return [list(decoder.tokenizer(text)["input_ids"]) for text in texts]


def generated(decoder: Decoder, prompt: list[int], max_tokens: int) -> list[int]:
    """transformers' own greedy tokens of one prompt."""
    with torch.inference_mode():
        out: Any = decoder.model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=max_tokens,
            do_sample=False,
        )
    return [token for token in out[0, len(prompt) :].tolist() if token not in decoder.ends]


@pytest.mark.parametrize("beginning", ["", BEGINNING], ids=["apart", "shared"])
def test_greedy_is_transformers_generate(decoder: Decoder, beginning: str) -> None:
    prompts = ids(decoder, [beginning + text for text in TEXTS])
    said = Decoder(decoder.model, decoder.tokenizer).decode(prompts, 24)
    assert [row.tokens for row in said] == [generated(decoder, prompt, 24) for prompt in prompts]


def test_a_shared_beginning_changes_nothing(decoder: Decoder) -> None:
    prompts = ids(decoder, [BEGINNING + text for text in TEXTS])
    alone = [Decoder(decoder.model, decoder.tokenizer).decode([prompt], 20)[0] for prompt in prompts]
    together = Decoder(decoder.model, decoder.tokenizer)
    assert together.decode(prompts, 20) == alone
    assert (len(together._beginning[0]) >= 16) == together.plain
    assert together.decode(prompts[:2], 20) == alone[:2]  # the beginning is there already
    assert together.decode(prompts, 20, shared=17) == alone
    assert together.decode(ids(together, TEXTS), 20) == Decoder(decoder.model, decoder.tokenizer).decode(
        ids(together, TEXTS), 20
    )


@pytest.mark.parametrize("batch", [1, 2, 3, 5])
@pytest.mark.parametrize("beginning", ["", BEGINNING], ids=["apart", "shared"])
def test_a_row_that_ends_leaves_its_place_to_the_next(decoder: Decoder, beginning: str, batch: int) -> None:
    prompts = ids(decoder, [beginning + text for text in [*TEXTS, "a bank", "ropes", "why do they"]])
    caps = [9, 3, 14, 1, 5, 12, 7]
    fresh = Decoder(decoder.model, decoder.tokenizer)
    live: list[int] = []
    forward = fresh._step
    fresh._step = lambda state: (live.append(len(state.rows)), forward(state))[1]  # type: ignore[method-assign]
    asked = [Row(prompt, cap, key=cap) for prompt, cap in zip(prompts, caps, strict=True)]
    order = [row.key for row in fresh.stream(asked, batch)]
    assert sorted(order) == sorted(caps)
    assert max(live) <= batch
    assert order != caps or batch == 1  # short ones do not wait for those before them
    assert sum(live) == sum(len(row.said.tokens) - 1 for row in asked)  # the first token of a row comes with its prompt
    assert [row.said.tokens for row in asked] == [generated(decoder, p, c) for p, c in zip(prompts, caps, strict=True)]


def test_sampled_rows_draw_alike_whoever_stands_beside_them(decoder: Decoder) -> None:
    prompts = ids(decoder, [BEGINNING + text for text in [*TEXTS, *TEXTS]])
    said = decoder.decode(prompts, 8, temperature=1.5, seeds=range(8))
    assert decoder.decode(prompts, 8, temperature=1.5, seeds=range(8), batch=3) == said
    assert said[0] != said[4]  # the same prompt with another seed


def test_rows_that_come_later_join(decoder: Decoder) -> None:
    prompts = ids(decoder, [BEGINNING + text for text in TEXTS] + TEXTS)
    waves = [prompts[:1], [], prompts[1:3], prompts[3:4], [], prompts[4:]]

    def source(count: int) -> list[Row]:
        asked.append(count)
        return [Row(prompt, 6, key=prompt) for prompt in (waves.pop(0) if waves else [])][:count]

    asked: list[int] = []
    fresh = Decoder(decoder.model, decoder.tokenizer)
    said = [row for _ in range(3) for row in fresh.run(source, 8)]
    assert len(said) == len(prompts)
    assert all(row.said.tokens == generated(decoder, row.key, 6) for row in said)


@pytest.mark.parametrize("own", [8, 600])
def test_more_rows_go_on_at_a_time_where_each_is_short(decoder: Decoder, own: int) -> None:
    fresh, asked = Decoder(decoder.model, decoder.tokenizer), []

    def run(source: Source, batch: int, shared: int | None = None) -> Iterator[Row]:
        asked.append(batch)
        return iter(source(0))

    fresh.run = run  # type: ignore[method-assign, assignment]
    list(fresh.stream([Row([1] * 600 + [number] * own, 20) for number in (2, 3)]))
    # What all share counts for nothing where it stands in memory once.
    assert asked == [32 if own == 8 and fresh.plain else 16]


def test_long_prompts_are_read_in_pieces(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "CHUNK", 12)
    prompts = ids(decoder, [BEGINNING + text for text in TEXTS])
    fresh, widths = Decoder(decoder.model, decoder.tokenizer), []
    forward = fresh._forward
    fresh._forward = lambda ids, *rest: (widths.append(ids.numel()), forward(ids, *rest))[1]  # type: ignore[method-assign]
    assert fresh.decode(prompts, 8) == decoder.decode(prompts, 8)
    assert max(widths) <= 12


def test_one_prompt_for_several_texts_is_read_once(decoder: Decoder) -> None:
    prompts = ids(decoder, [TEXTS[2]] * 3 + [TEXTS[3]])
    fresh, read = Decoder(decoder.model, decoder.tokenizer), []
    forward = fresh._forward
    fresh._forward = lambda ids, *rest: (read.append(len(ids)), forward(ids, *rest))[1]  # type: ignore[method-assign]
    said = fresh.decode(prompts, 6, temperature=1.5, seeds=[1, 2, 3, 4])
    assert read[0] == 2
    assert said == [
        decoder.decode([prompt], 6, temperature=1.5, seeds=[seed])[0] for seed, prompt in enumerate(prompts, 1)
    ]


def test_a_stop_is_looked_for_without_decoding_the_whole_text_again(decoder: Decoder) -> None:
    [prompt] = ids(decoder, [TEXTS[0]])
    counted: list[int] = []
    fresh = Decoder(decoder.model, decoder.tokenizer)
    whole = decoder.text
    fresh.text = lambda tokens: (counted.append(len(tokens)), whole(tokens))[1]  # type: ignore[method-assign]
    seen: list[str] = []
    [said] = fresh.decode([prompt], 60, stop=lambda text: bool(seen.append(text)))
    assert seen == [whole(said.tokens[:count]) for count in range(1, len(said.tokens) + 1)]
    assert sum(counted) < sum(range(61)) / 2
    assert len(counted) < 80


def test_the_model_is_left_as_it_was(decoder: Decoder) -> None:
    before = decoder.model.config._attn_implementation
    decoder.decode(ids(decoder, TEXTS), 2)
    assert decoder.model.config._attn_implementation == before
    with pytest.raises(ZeroDivisionError):
        decoder.decode(ids(decoder, TEXTS), 2, stop=lambda text: bool(1 // 0))
    assert decoder.model.config._attn_implementation == before


def test_defect_26_rows_stop_one_by_one(decoder: Decoder) -> None:
    prompts = ids(decoder, [BEGINNING + text for text in TEXTS])
    free = decoder.decode(prompts, 16)
    word = decoder.text(free[1].tokens[:4])
    stopped = decoder.decode(prompts, 16, stop=lambda text: text == word)
    assert stopped[1] == Continuation(free[1].tokens[:4], True)
    assert [stopped[row] for row in (0, 2, 3)] == [free[row] for row in (0, 2, 3)]
    assert [len(row.tokens) for row in free] == [16] * 4
    assert not any(row.finished for row in free)


def test_each_row_ends_at_its_own_end_token(decoder: Decoder) -> None:
    prompts = ids(decoder, TEXTS)
    free = decoder.decode(prompts, 12)
    other = Decoder(decoder.model, decoder.tokenizer)
    end = next(token for token in free[0].tokens if token not in free[1].tokens)
    other.ends = {end}
    said = other.decode(prompts, 12)
    assert said[0] == Continuation(free[0].tokens[: free[0].tokens.index(end)], True)
    assert said[1] == free[1]


def test_a_sampled_row_draws_from_its_own_seed(decoder: Decoder) -> None:
    prompts = ids(decoder, TEXTS)
    said = decoder.decode(prompts, 10, temperature=2.0, seeds=[5, 6, 7, 8])
    assert decoder.decode([prompts[2]], 10, temperature=2.0, seeds=[7]) == [said[2]]
    assert decoder.decode(prompts, 10, temperature=2.0, seeds=[5, 6, 9, 8])[2] != said[2]
    assert decoder.decode(prompts, 10, temperature=2.0, top_p=1e-9, seeds=[5, 6, 7, 8]) == decoder.decode(prompts, 10)


def test_sampling_follows_temperature_and_top_p() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    generator = torch.Generator().manual_seed(0)

    def shares(temperature: float, top_p: float) -> list[float]:
        drawn = torch.cat([pick(logits, temperature, top_p, [generator]) for _ in range(2000)])
        return (torch.bincount(drawn, minlength=4) / 2000).tolist()

    assert shares(1.0, 1.0) == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.04)
    assert shares(1.0, 0.7) == pytest.approx([0.625, 0.375, 0.0, 0.0], abs=0.04)
    assert shares(0.5, 1.0)[0] == pytest.approx(0.25 / 0.365, abs=0.04)
    assert pick(logits, 0.0, 1.0, []).tolist() == [0]


def test_shared_beginning() -> None:
    assert shared_beginning([[1, 2, 3], [1, 2, 4], [1, 2]]) == 2
    assert shared_beginning([[1, 2]]) == 2
    assert shared_beginning([[3], [1, 2]]) == 0
    assert shared_beginning([[], [1]]) == 0


def test_bfloat16_runs(tmp_path: Path) -> None:
    model, tokenizer = load_model(locate_model(str(tiny_model(tmp_path / "m"))), "causal", "bfloat16")
    said = Decoder(model, tokenizer).decode([list(tokenizer(BEGINNING + text)["input_ids"]) for text in TEXTS], 5)
    assert [len(row.tokens) for row in said] == [5] * 4


def test_rows_keep_their_keys_wherever_they_are_moved() -> None:
    generator, said = random.Random(0), itertools.count(1)
    for _ in range(20):
        cache, rows = _read(said, generator.randint(1, 5), generator.randint(1, 9))
        for _ in range(12):
            places = [generator.randrange(len(rows)) for _ in range(generator.randint(1, len(rows) + 1))]
            length = generator.randint(1, max(map(len, rows)))
            other, joined = _read(said, generator.randint(1, 3), length) if generator.random() < 0.5 else (None, [])
            cache.arrange(torch.tensor(places), length, other)
            rows = [rows[place][-length:] for place in places] + joined
            new = [next(said) for _ in rows]
            keys, values = cache.update(_states([[token] for token in new]), _states([[-token] for token in new]), 0)
            rows = [[*row, token] for row, token in zip(rows, new, strict=True)]
            assert keys.shape == values.shape == (len(rows), 2, length + 1, 3)
            for key, value, row in zip(keys, values, rows, strict=True):
                assert (key[:, -len(row) :] == _states([row])[0]).all()
                assert (value == -key).all()  # and nothing but zeros or other rows' tokens before a shorter row


def _read(said: Iterator[int], count: int, length: int) -> tuple[SharedCache, list[list[int]]]:
    """A cache after so many rows of so many tokens, and these."""
    rows = [[next(said) for _ in range(length)] for _ in range(count)]
    cache = SharedCache()
    cache.update(_states(rows), -_states(rows), 0)
    return cache, rows


def _states(rows: list[list[int]]) -> torch.Tensor:
    """Keys that say which token they belong to, [rows, 2 heads, tokens, 3]."""
    return torch.tensor(rows, dtype=torch.float32)[:, None, :, None].expand(-1, 2, -1, 3)
