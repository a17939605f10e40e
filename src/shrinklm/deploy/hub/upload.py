"""A folder → a repository on the Hub, in one commit. The token comes from the environment, and is written nowhere."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import HubError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""Environment variables that may hold the token, as huggingface_hub names them."""


def check_repository(name: str) -> str:
    """`name`. Raises HubError for one that the Hub does not take."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise HubError(f"'{name}' is no name of a repository: {error} Write: --to org/name") from None
    if name.count("/") != 1:
        raise HubError(f"'{name}' names no owner. Write: --to org/name; for a folder: --to ./name")
    return name


def token() -> str:
    """The Hub's token. Raises HubError where the environment holds none."""
    found = next((value for name in TOKENS if (value := os.environ.get(name, "").strip())), "")
    if not found:
        raise HubError(
            f"An upload needs a token that may write, in the environment variable {TOKENS[0]}: make one at "
            "https://huggingface.co/settings/tokens and type: export HF_TOKEN=... "
            "What would be uploaded: add --dry-run. Without the Hub, into a folder: --to ./NAME"
        )
    return found


def upload(folder: Path, repository: str, private: bool, message: str) -> str:
    """Uploads a folder in one commit; the address of the commit.

    Args:
        folder: All of its files are uploaded.
        repository: "org/name"; made where there is none.
        private: Nobody else may see it. An existing one that others can see is refused.
        message: Of the commit.

    Raises HubError; what was there before is then as it was.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars

    secret = token()
    api = HfApi(token=secret)
    disable_progress_bars()
    made = False
    try:
        made = _repository(api, repository, private)
        commit = api.upload_folder(repo_id=repository, folder_path=folder, commit_message=message)
    except HubError:
        raise
    except Exception as error:  # of httpx, of the Hub, of the disk: the same is to be done about each
        left = f" The repository {repository} was made, and is empty." if made else " Nothing there was changed."
        raise HubError(f"{repository} was not uploaded: {_told(error, secret)}.{left}") from None
    return str(commit.commit_url)


def _repository(api: HfApi, name: str, private: bool) -> bool:
    """Makes a repository unless it is there; whether it was made."""
    there = api.repo_exists(name)
    if not there:
        api.create_repo(name, private=private)
    elif private and not api.model_info(name).private:
        raise HubError(f"{name} is there, and everybody can see it. Take another name, or leave --private out.")
    return not there


def _told(error: Any, secret: str) -> str:
    """What an error says, in a line, without the token."""
    words = " ".join(str(error).split()).replace(secret, "…") or type(error).__name__
    status = getattr(getattr(error, "response", None), "status_code", None)
    advice = {401: " (is the token valid?)", 403: " (may the token write there?)"}.get(int(status or 0), "")
    return re.sub(r"\.$", "", words[:400]) + advice
