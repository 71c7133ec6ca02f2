"""`ost app`: a page in the browser that recognizes videos, asks a library, and compares models."""

from pathlib import Path
from typing import Literal

from ost_lightning.errors import UserError
from ost_lightning.resources import TINY_MODELS


def app(
    weights: str = "openai/clip-vit-base-patch16",
    labels: str | None = None,
    library: Path | None = None,
    videos: str | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    auth: str | None = None,
    max_upload: str = "500MB",
    llm: str = "gpt-4o-mini",
    examples: bool | None = None,
    device: str | None = None,
    cpu_precision: Literal["fp32", "bf16", "auto"] = "fp32",
) -> None:
    """Opens a page in the browser that recognizes videos, asks a library, and compares models.

    People drop a video, choose classes, and see what it shows, when and why. Sentences can be edited, and the
    probabilities move at once. Only this machine can reach the page unless `host` is set, which needs a login. Uploads
    are deleted when their page is closed, and nothing is loaded from or sent to other hosts, except questions to the
    LLM.

    Args:
        weights: Hub id, `tiny`, folder in HF format, checkpoint (.ckpt), or folder of a run or experiment; several,
            separated by commas, can be compared.
        labels: Name of a label space (`kinetics400`) or folder of one, which is there at the start.
        library: Folder of a library, which `ost index` wrote, for the tab Find.
        videos: Folders, separated by commas, whose files the page may play when the library finds them.
        host: Address to listen on; `0.0.0.0` for all of this machine's.
        port: Port to listen on; a free one from 7860 if not given.
        auth: File with one line USER:PASSWORD; the environment variable OST_APP_AUTH if not given.
        max_upload: Largest size of a video, such as 500MB or 2GB.
        llm: Name of the LLM that describes classes (OPENAI_API_KEY, OPENAI_BASE_URL).
        examples: Whether to offer rendered videos and a library of them; only with `tiny` weights if not given.
        device: Device for computation; a GPU if available and otherwise the CPU, if not given.
        cpu_precision: Precision in which a CPU embeds frames: fp32, bf16, or auto for bf16 where a measurement of half
            a second finds it faster.
    """
    from ost_lightning.app import AppSettings, read_auth, read_size, run

    names = tuple(name.strip() for name in weights.split(","))
    if "" in names:
        raise UserError(f"--weights '{weights}' has an empty name: separate weights by single commas.")
    run(
        AppSettings(
            weights=names,
            labels=labels,
            library=library,
            videos=() if videos is None else tuple(Path(folder.strip()) for folder in videos.split(",")),
            host=host,
            port=port,
            max_upload=read_size(max_upload),
            auth=read_auth(auth),
            llm=llm,
            device=device,
            cpu_precision=cpu_precision,
            examples=names[0] in TINY_MODELS if examples is None else examples,
        )
    )
