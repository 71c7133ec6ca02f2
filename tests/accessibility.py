"""What a page owes to people who see little or use no mouse: names of controls, and contrast of text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

_CONTROLS: Final = frozenset({
    "button", "checkbox", "combobox", "grid", "link", "listbox", "radio", "searchbox", "slider", "spinbutton", "tab",
    "table", "textbox", "Video",
})  # fmt: skip
_LOW_CONTRAST: Final = """() => {
  // the browser converts any notation of a color, such as oklch, to red, green, blue and alpha
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].map((value) => value / 255);
  };
  const over = (top, below) => top.slice(0, 3).map((value, k) => value * top[3] + below[k] * (1 - top[3]));
  const linear = (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const background = (element) => {
    if (!element) return [1, 1, 1];
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, background(element.parentElement));
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const text = texts.currentNode.textContent.trim();
    if (!text || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const box = element.getBoundingClientRect();
    if (!box.width || !box.height || element.closest("script, style, noscript, :disabled")) continue;
    const style = getComputedStyle(element);
    const below = background(element);
    const pair = [light(over(rgba(style.color), below)), light(below)].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`${text.slice(0, 60)}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""

_SETTLED: Final = """() => !document.querySelector(".pending") && document.getAnimations().every(
  ({ effect, playState }) => playState !== "running" || effect.getComputedTiming().endTime === Infinity
)"""


def unnamed_controls(page: "Page") -> list[str]:
    """Returns the roles of controls that a screen reader could not name."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    shown = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
    return [role for role, name in shown if role in _CONTROLS and not name.strip()]


def low_contrast(page: "Page") -> list[str]:
    """Returns texts with less contrast than WCAG 2.2 asks for (1.4.3, level AA), each with its ratio.

    Pictures as backgrounds and opacity are left out of account.
    """
    found: list[str] = page.evaluate(_LOW_CONTRAST)
    return found


def axe_violations(page: "Page", accepted: Sequence[str] = ()) -> list[str]:
    """Returns what axe finds against WCAG 2.2, levels A and AA, and against its best practices: rule and element.

    Args:
        page: Page as it is shown now.
        accepted: HTML that is not ours to change; findings that contain one of these are left out.
    """
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    for _ in range(200):  # what fades in has little contrast until it is there
        if page.evaluate(_SETTLED):
            break
        page.wait_for_timeout(50)
    found = axe.Axe().run(page).response["violations"]
    every = [f"{rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]
    return [one for one in every if not any(part in one for part in accepted)]
