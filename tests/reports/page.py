"""page.py TOOLS PAGE: the page says nothing on the console, asks nothing of the network, fits a telephone, can be read
in the light and in the dark, by keyboard and aloud. Leaves pictures beside the page."""

import sys

from browser import Browser

_, page = sys.argv[1:]
errors = []


def expect(what, holds):
    if not holds:
        errors.append(what)


# Every text that is seen, with the ratio of its colour's light to that of what is behind it (WCAG 2.2, 1.4.3).
CONTRAST = """(() => {
  const numbers = color => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const part = v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = element => {
    for (let one = element; one; one = one.parentElement) {
      const color = numbers(getComputedStyle(one).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0] : [255, 255, 255];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const poor = {};
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement, text = texts.currentNode.data.trim();
    if (!text || !element.checkVisibility() || ["SCRIPT", "STYLE", "TITLE"].includes(element.tagName.toUpperCase())) continue;
    const style = getComputedStyle(element);
    const color = numbers(element instanceof SVGElement && style.fill !== "none" ? style.fill : style.color);
    const [a, b] = [light(color), light(behind(element))].sort((a, b) => b - a);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor[`${element.tagName}.${element.getAttribute("class")}`] = `${ratio.toFixed(1)} ${text.slice(0, 30)}`;
  }
  return poor;
})()"""

# What sticks out of the window to the right, unless it is in a box that scrolls.
WIDE = """[...document.querySelectorAll("body *")].filter(one => {
  if (!one.checkVisibility() || one.closest(".wide, .aloud, svg")) return false;
  return one.getBoundingClientRect().right > innerWidth + 1;
}).map(one => `${one.tagName}.${one.className}`)"""

FOCUS = """(() => {
  const one = document.activeElement, style = getComputedStyle(one);
  return [one.tagName, one.className, style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0];
})()"""


def seen(browser):
    for width, height in [(1280, 900), (400, 800)]:
        for scheme in ["light", "dark"]:
            browser.look(width, height, scheme)
            name = f"{page}.{width}.{scheme}.png"
            expect(f"{name} is blank", browser.picture(name) > 15_000)
            poor = browser.run(CONTRAST)
            expect(f"hard to read, {scheme}: {poor}", not poor)
            wide = browser.run(WIDE)
            expect(f"sticks out at {width} pixels: {wide}", not wide)
            expect(f"the page scrolls sideways at {width} pixels", browser.run("document.scrollingElement.scrollWidth") <= width)
    dark = browser.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(one => one < 64)")
    expect("the dark page is not dark", dark)


def by_keyboard(browser):
    """Goes through the page with the tabulator; opens what is folded."""
    browser.look(1280, 900, "light")
    browser.press("Tab")
    first = browser.run(FOCUS)
    expect(f"the first stop is not the way to the scenarios: {first}", first[:2] == ["A", "skip"])
    expect("the way to the scenarios is not seen", browser.run("document.activeElement.getBoundingClientRect().left >= 0"))
    stops, closed = [first], None
    for _ in range(200):
        browser.press("Tab")
        stop = browser.run(FOCUS)
        # Behind the last stop it begins anew.
        if stop[0] == "BODY" or stop[:2] == first[:2]:
            break
        stops.append(stop)
        if stop[0] == "SUMMARY" and closed is None and not browser.run("document.activeElement.parentElement.open"):
            closed = stop
            browser.press("Enter")
            expect("Enter does not open what is folded", browser.run("document.activeElement.parentElement.open"))
            browser.press(" ")
            expect("Space does not close it again", not browser.run("document.activeElement.parentElement.open"))
    expect(f"nothing is left by keyboard: {len(stops)} stops", len(stops) < 200)
    expect(f"focus is not seen: {[one for one in stops if not one[2]]}", all(one[2] for one in stops))
    reachable = browser.run("[...document.querySelectorAll('summary, a, select, input')].filter(one => one.checkVisibility()).length")
    expect(f"{reachable} things to act on, {len(stops)} stops", len(stops) >= reachable)
    print(f"{len(stops)} stops by keyboard, {reachable} to act on")


def filtered(browser):
    """Chooses scenarios by what stands above them."""
    shown = "document.querySelectorAll('details.scenario:not([hidden])').length"
    total = browser.run("document.querySelectorAll('details.scenario').length")
    if total < 2:
        return
    name = browser.run("document.querySelector('details.scenario > summary').textContent")
    browser.run("document.querySelector('input[name=words]').focus()")
    browser.type(name)
    expect("words don't choose", 0 < browser.run(shown) < total)
    browser.run("{ const words = document.querySelector('input[name=words]'); words.value = ''; words.dispatchEvent(new Event('input', {bubbles: true})); }")
    expect("without words not all are shown", browser.run(shown) == total)
    for status in ["failed", "flaky", "passed", "skipped"]:
        browser.run(f"{{ const one = document.querySelector('select[name=status]'); one.value = '{status}'; one.dispatchEvent(new Event('input', {{bubbles: true}})); }}")
        wanted = browser.run(f"document.querySelectorAll('details.scenario[data-status={status}]').length")
        expect(f"{status} is not chosen", browser.run(shown) == wanted)


def aloud(browser):
    """What assistive programs see: every thing has a name, headings go down by one, there is a main part."""
    nodes = [node for node in browser.ask("Accessibility.getFullAXTree")["nodes"] if not node.get("ignored")]
    value = lambda node, field: node.get(field, {}).get("value", "")
    acting = ["link", "button", "textbox", "searchbox", "combobox", "DisclosureTriangle", "region", "image"]
    nameless = [value(node, "role") for node in nodes if value(node, "role") in acting and not value(node, "name").strip()]
    expect(f"without a name: {nameless}", not nameless)
    roles = {value(node, "role") for node in nodes}
    expect(f"no main part or no heading: {sorted(roles)}", {"main", "heading"} <= roles)
    levels = browser.run("[...document.querySelectorAll('h1, h2, h3')].map(one => Number(one.tagName[1]))")
    expect(f"headings leave steps out: {levels}", levels[0] == 1 and all(b <= a + 1 for a, b in zip(levels, levels[1:])))
    expect("the language is not said", browser.run("document.documentElement.lang") == "en")
    doubled = "(all => all.filter((one, at) => all.indexOf(one) !== at))([...document.querySelectorAll('[id]')].map(one => one.id))"
    expect(f"ids stand twice: {browser.run(doubled)}", not browser.run(doubled))


with Browser() as browser:
    browser.open(page)
    seen(browser)
    by_keyboard(browser)
    filtered(browser)
    aloud(browser)
    expect(f"said on the console: {browser.complaints()}", not browser.complaints())
    elsewhere = [url for url in browser.requests() if not url.startswith("file://")]
    expect(f"asked of the network: {elsewhere}", not elsewhere)
print(*errors, sep="\n")
sys.exit(bool(errors))
