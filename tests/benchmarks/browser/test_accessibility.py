"""The page by keyboard, by screen reader and at every size, in light and dark."""

from pathlib import Path
from typing import Any

from page_in_chromium import INT8, STATE, needs_browser, shared_page

CONTROLS = {"button", "combobox", "link", "textbox", "checkbox", "progressbar", "img", "log"}
SCREENS = [(360, 740), (740, 360), (1280, 800)]
IN_ORDER = ["model", "accelerator", "camera", "photo", "measure", "notice"]
TAB, ENTER = 9, 13
# What WCAG 2.2 AA asks of text, and of what marks a control.
TEXT_CONTRAST, EDGE_CONTRAST = 4.5, 3.0

# Text and edges that stand out too little from what is behind them; the formulas are WCAG's.
FAINT = """((text, edge) => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = numbers(colour).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const clear = (colour) => colour === "transparent" || numbers(colour)[3] === 0;
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (!clear(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  let looked = 0;
  for (const element of document.querySelectorAll("body *")) {
    if (!element.checkVisibility() || element.closest(":disabled, option")) continue;
    const style = getComputedStyle(element);
    const words = [...element.childNodes].filter((n) => n.nodeType === 3 && n.data.trim());
    if (words.length) {
      looked += 1;
      const got = ratio(style.color, behind(element));
      if (got < text) found.push([words[0].data.trim(), got]);
    }
    if (element.matches("select, button, .button") && !element.querySelector(":disabled")) {
      looked += 1;
      const ground = behind(element.parentElement);
      const got = Math.max(ratio(style.borderTopColor, ground), ratio(behind(element), ground));
      if (got < edge) found.push([element.id || element.textContent, got]);
    }
  }
  return { found, looked };
})"""

# What is focused: its id, whether it lies within the screen's width, and whether that shows.
FOCUSED = """(() => {
  const element = document.activeElement;
  const shown = element.id === "photo" ? element.parentElement : element;
  const { left, right } = shown.getBoundingClientRect();
  const { outlineStyle, outlineWidth } = getComputedStyle(shown);
  return { id: element.id, inside: left >= 0 && right <= innerWidth,
           visible: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 };
})()"""


def named(tree: dict[str, Any]) -> list[tuple[str, str]]:
    """(role, name) of what a screen reader tells and a hand can touch."""
    found = []
    for node in tree["nodes"]:
        role = node.get("role", {}).get("value", "").lower()
        if not node.get("ignored") and role in CONTROLS:
            found.append((role, node.get("name", {}).get("value", "").strip()))
    return found


@needs_browser
def test_the_page_works_by_keyboard_and_reader_at_every_size(tmp_path: Path) -> None:
    options = ["--sustained", "0", "--results", "2"]
    with shared_page(tmp_path, *options, models=(INT8,)) as (tab, _):
        # By keyboard alone: Tab leads through the controls as they are read.
        for width, height in SCREENS:
            tab.look(width=width, height=height)
            order: list[str] = []
            for _step in IN_ORDER:
                if order or width == SCREENS[0][0]:
                    tab.press("Tab", code=TAB)
                else:  # back to the start: Tab goes on from where it was
                    tab.value("document.getElementById('model').focus()")
                at = tab.value(FOCUSED)
                assert at["inside"] and at["visible"], at
                order.append(at["id"])
            assert order == IN_ORDER
        # Enter measures; what came is told without being asked for.
        tab.value("document.getElementById('measure').focus()")
        tab.press("Enter", code=ENTER, text="\r")
        tab.until("!!document.querySelector('article')")
        assert tab.until(f"{STATE}.startsWith('Measured') && {STATE}")
        for selector in ("#state", "#cards"):
            live = f"document.querySelector('{selector}').getAttribute('aria-live')"
            assert tab.value(live) == "polite"
        tree = tab.call("Accessibility.getFullAXTree")
        controls = named(tree)
        assert {role for role, _ in controls} >= {"button", "combobox", "link", "log"}
        assert [role for role, name in controls if not name] == []
        headings = [
            node["name"]["value"]
            for node in tree["nodes"]
            if not node.get("ignored") and node.get("role", {}).get("value") == "heading"
        ]
        assert headings[:3] == ["Your model in this browser", "Try it", "Measure"]
        assert any(INT8.stem in heading for heading in headings[3:])
        for width, height in SCREENS:
            for dark in (False, True):
                tab.look(width=width, height=height, dark=dark, calm=True)
                told = tab.value(f"{FAINT}({TEXT_CONTRAST}, {EDGE_CONTRAST})")
                assert told["looked"] > 20 and told["found"] == [], (width, dark, told)
                assert tab.value("document.documentElement.scrollWidth") <= width
                assert tab.value("document.getAnimations().length") == 0


@needs_browser
def test_terms_of_the_model_and_of_the_runtime_are_shown(tmp_path: Path) -> None:
    with shared_page(tmp_path, models=(INT8,)) as (tab, _):
        words = tab.value("document.querySelector('footer').innerText")
        assert f"{INT8.stem}: Apache-2.0" in words and "LiteRT.js, Apache-2.0" in words
        notice = tab.value("fetch(document.getElementById('notice').href).then((a) => a.text())")
        assert "Copyright The LiteRT Authors" in notice
