"""Secrets of sessions, and pseudonyms.

The browser keeps the secret; the server keeps its hash alone, so that what is stored opens no session.
"""

from __future__ import annotations

import hashlib
import secrets

_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Letters of codes that people read out: none looks like another."""


def new_secret() -> str:
    """Draw the secret of a session: 256 bits, as text that fits a cookie."""
    return secrets.token_urlsafe(32)


def secret_hash(secret: str) -> str:
    """Return the hash of a secret, in hexadecimal.

    Secrets are random, so that a hash without salt and stretching is enough.
    """
    # A cookie may hold anything, lone surrogates included; it must not match then, but not fail either.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def new_code() -> str:
    """Draw a pseudonym, such as "K7M2-9QXA"."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"
