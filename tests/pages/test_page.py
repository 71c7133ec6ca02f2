"""Pages are one frame with one policy; what is put in reaches them as text."""

import base64
import hashlib
import json
import re

import pytest

from ost_lightning.pages import data_url, render_page
from ost_lightning.pages.page import PageKind

HOSTILE = "</title></script><img src=x onerror=alert(1)>\n\u202e"


def found_page(title: str) -> str:
    return render_page("found", title, {"query": title, "summary": "", "segments": [], "conditions": []})


def test_what_is_put_in_is_text() -> None:
    page = found_page(HOSTILE)
    assert "<img src=x" not in page
    assert "&lt;/title&gt;&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt; \\u202e</title>" in page
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert data is not None
    assert json.loads(data[1])["query"] == HOSTILE
    assert page.count("<script") == 2


@pytest.mark.parametrize("kind", ["timeline", "found"])
def test_the_policy_names_the_script_and_the_styles(kind: PageKind) -> None:
    page = render_page(kind, "x", {})
    for rule, tag in (("script-src", "script"), ("style-src", "style")):
        text = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
        assert len(text) == 1
        digest = base64.b64encode(hashlib.sha256(text[0].encode()).digest()).decode()
        assert f"{rule} 'sha256-{digest}'" in page
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', page, re.S)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "http" not in policy[1]
    assert "unsafe" not in policy[1]


def test_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        render_page("found", "x", {"score": float("nan")})


def test_pictures_become_urls() -> None:
    assert data_url(b"jpeg") == "data:image/jpeg;base64,anBlZw=="
    assert data_url(b"<svg/>", "image/svg+xml") == "data:image/svg+xml;base64,PHN2Zy8+"
