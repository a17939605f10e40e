"""The thread that continues the prompts of all requests in one batch that stays full."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...models.decode import BaseDecoder
    from ...models.rows import Row


class Worker(threading.Thread):
    """Takes rows from any thread, and sets the future in `key` of each when it has ended.

    Args:
        decoder: Continues them.
        batch: Rows at a time.
    """

    def __init__(self, decoder: BaseDecoder, batch: int) -> None:
        super().__init__(name="decoding", daemon=True)
        self._decoder, self._batch = decoder, batch
        self._waiting: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
        self._live: set[Row] = set()
        self._first: list[Row] = []
        """Taken from the queue while nothing was live, until the decoder asks for it."""
        self._closed = False

    def ask(self, row: Row) -> Future[Row]:
        """Queue a row. Its future holds the row when it has ended; a cancelled one frees its place."""
        future: Future[Row] = Future()
        row.key, wanted = future, row.stop
        # Asked after every token: a row that nobody waits for any more ends at once.
        row.stop = lambda text: self._closed or future.cancelled() or (wanted is not None and wanted(text))
        self._waiting.put(row)
        return future

    def close(self) -> None:
        """End after the present pass; rows that are live or waiting are cancelled."""
        self._closed = True
        self._waiting.put(None)
        self.join()

    def run(self) -> None:
        """See threading.Thread."""
        while (row := self._waiting.get()) is not None and not self._closed:
            self._first.append(row)
            try:
                for ended in self._decoder.run(self._more, self._batch):
                    self._settle(ended)
            except Exception as error:
                # Such as memory that does not suffice: these requests fail, and the next ones are taken.
                for live in self._live:
                    if not live.key.done():
                        live.key.set_exception(error)
                self._live.clear()
        self._cancel()

    def _more(self, count: int) -> list[Row]:
        found = [self._first.pop()] if self._first else []
        while len(found) < count and not self._closed:
            try:
                row = self._waiting.get_nowait()
            except queue.Empty:
                break
            if row is not None and not row.key.cancelled():
                found.append(row)
        self._live.update(found)
        return found

    def _settle(self, row: Row) -> None:
        self._live.discard(row)
        if not self._closed and row.key.set_running_or_notify_cancel():
            row.key.set_result(row)

    def _cancel(self) -> None:
        left = list(self._live)
        while not self._waiting.empty():
            if (row := self._waiting.get()) is not None:
                left.append(row)
        for row in left:
            row.key.cancel()
