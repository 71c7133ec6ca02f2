"""Hook of MkDocs: makes a page of each notebook, so that it is part of the site without being run at each build."""

import json
import logging
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

# One line per module; `--quiet` would silence warnings too, and a strict build counts those that it prints.
logging.getLogger("mkdocs.plugins.api-autonav").setLevel(logging.WARNING)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a Markdown page beside each notebook; the notebook itself stays for download."""
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        notebook = Path(config.docs_dir, file.src_uri)
        page = file.src_uri.removesuffix(".ipynb") + ".md"
        files.append(File.generated(config, page, content=as_markdown(notebook)))
    return files


def as_markdown(notebook: Path) -> str:
    """Text cells as they are, code cells as Python blocks, and a link to the notebook below the title."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    blocks = [
        "".join(cell["source"]) if cell["cell_type"] == "markdown" else f"```python\n{''.join(cell['source'])}\n```"
        for cell in cells
    ]
    title, _, first = blocks[0].partition("\n")
    return "\n\n".join([title, f"[Download the notebook]({notebook.name})", first.strip(), *blocks[1:]]) + "\n"
