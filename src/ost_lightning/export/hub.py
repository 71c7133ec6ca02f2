"""Upload of an exported folder to the Hugging Face hub."""

import os
from pathlib import Path
from typing import Final

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from ost_lightning.errors import UserError

_TOKEN: Final = "HF_TOKEN"  # noqa: S105 # name of the environment variable


def write_token() -> str:
    """Returns the token from the environment.

    Raises:
        UserError: If there is none.
    """
    token = os.environ.get(_TOKEN, "").strip()
    if not token:
        raise UserError(f"An upload needs a token of the hub that may write: set the environment variable {_TOKEN}.")
    return token


def upload(folder: Path, repository: str) -> str:
    """Uploads a folder to a model repository, which is created if it doesn't exist.

    Args:
        folder: Exported folder.
        repository: Hub id, such as `me/ost-hmdb51`.

    Returns:
        Address of the repository.

    Raises:
        UserError: If the hub refuses it or can't be reached; the folder stays.
    """
    api = HfApi(endpoint=constants.ENDPOINT, token=write_token())
    try:
        address = api.create_repo(repository, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Export by ost_lightning")
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        found = " ".join(str(error).split())[:300]
        raise UserError(
            f"{folder} is complete, but can't be uploaded to {repository} ({found}): check id, token and network, then "
            f"run `hf upload {repository} {folder}`."
        ) from error
    return str(address)
