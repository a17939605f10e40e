"""The key of a study: what stands in the database opens no place in the study, and names nobody, without it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from ...core.errors import StudyError

FILE = "study.key"
"""In the study's folder, for its owner alone; never in the database or its backups."""
VARIABLE = "SHRINKLM_STUDY_KEY"
"""Environment variable that takes the place of the file, as text of 32 characters or more."""


class Key:
    """Makes links and hashes that nobody makes or turns back without it."""

    def __init__(self, secret: bytes | None = None) -> None:
        """`secret`: None draws one, which is lost with this object."""
        self._secret = secret or secrets.token_bytes(32)

    @classmethod
    def of(cls, home: Path) -> Key:
        """The key of the study in a folder; it is drawn and written where there is none.

        Raises StudyError for a key that is too short, or a folder that cannot be written.
        """
        if told := os.environ.get(VARIABLE, "").strip():
            if len(told) < 32:
                raise StudyError(f"{VARIABLE} has {len(told)} characters; a key needs 32 or more.")
            return cls(told.encode())
        path = home / FILE
        try:
            # Exclusively: of two servers that start at once, the second reads what the first has written.
            with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as new:
                new.write(secrets.token_urlsafe(32) + "\n")
        except FileExistsError:
            pass
        except OSError as error:
            raise StudyError(f"{path} cannot be written: {error.strerror or error}. Or set {VARIABLE}.") from error
        try:
            text = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise StudyError(f"{path} cannot be read: {error}. Put it back as it was.") from error
        if len(text) < 32:
            raise StudyError(f"{path} holds {len(text)} characters; a key needs 32 or more. Put it back as it was.")
        return cls(text.encode())

    def link(self, code: str) -> str:
        """The secret part of the link by which the person with a pseudonym goes on: 192 bits, as text."""
        return base64.urlsafe_b64encode(self._digest("link", code)[:24]).decode()

    def hash(self, purpose: str, text: str) -> str:
        """What is kept of a text instead of it, in hexadecimal; another purpose gives another hash."""
        return self._digest(f"kept {purpose}", text).hex()

    def _digest(self, purpose: str, text: str) -> bytes:
        # What comes from a browser may hold anything, lone surrogates included.
        return hmac.digest(self._secret, f"{purpose}\0{text}".encode("utf-8", "surrogatepass"), hashlib.sha256)
