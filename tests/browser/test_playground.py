"""The playground by what a person sees in a real browser."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Appliance, answer_with, ask, chat_text

pytestmark = [pytest.mark.browser, pytest.mark.no_blockbuster]

ENDED = ".ended"
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)


def test_an_answer_comes_token_by_token(playground: Page) -> None:
    """Half of it is there before the end, and the figures say what the stream did."""
    ask(playground, "Hello", model="demo;rate=20;tokens=60;ttft=0.1")
    expect(playground.locator(".answer.running .markdown")).to_contain_text("sluice")
    expect(playground.locator("#stop")).to_be_enabled()
    expect(playground.locator(ENDED)).to_have_text("Finished: stop.", timeout=15_000)
    figures = playground.inner_text("#figures")
    for name in (
        "first token",
        "tokens per second",
        "longest gap",
        "wait for a slot",
        "request id",
    ):
        assert name in figures
    assert re.search(r"ended by\s+complete", figures)
    expect(playground.locator("#stage")).to_have_text("done")


@pytest.mark.parametrize("family", ["chat", "responses", "messages"])
def test_every_family(playground: Page, family: str) -> None:
    """Text, thinking that folds away, and the usage that the upstream states."""
    playground.select_option("#family", family)
    ask(playground, "Hello", model="demo-reasoning;rate=0;ttft=0")
    expect(playground.locator(ENDED)).to_contain_text("Finished", timeout=15_000)
    expect(playground.locator("details.thinking")).not_to_have_attribute("open", "")
    assert len(playground.inner_text(".answer .markdown")) > 20
    assert re.search(r"output tokens\s+\d+\n", playground.inner_text("#figures"))


def test_a_tool_call(playground: Page) -> None:
    """Its name and its arguments are shown."""
    ask(playground, "Weather?", model="demo-tools;rate=0;ttft=0")
    expect(playground.locator(".tool strong").first).to_contain_text("Tool call: ", timeout=15_000)
    expect(playground.locator(".tool pre").first).to_contain_text("{")


def test_a_cut_is_seen_as_a_cut(playground: Page) -> None:
    """With its reason and the request id; what came stays on the page."""
    ask(playground, "Hello", model="demo;cut=8;rate=0;ttft=0")
    note = playground.locator(".ended.bad")
    expect(note).to_contain_text("upstream_cut", timeout=15_000)
    expect(note).to_contain_text(re.compile("request [0-9a-f]{32}"))
    expect(playground.locator("#stage")).to_have_text("cut")
    assert playground.inner_text(".answer .markdown")


def test_a_refusal_says_why(playground: Page) -> None:
    """The status and the message, not an empty answer."""
    ask(playground, "Hello", model="demo;status=429")
    expect(playground.locator(".ended.bad")).to_contain_text("429", timeout=15_000)


def test_stop(playground: Page) -> None:
    """A stopped answer ends at once and is no cut."""
    ask(playground, "Hello", model="demo;rate=10;tokens=300")
    expect(playground.locator(".answer.running .markdown")).to_contain_text("sluice")
    playground.click("#stop")
    expect(playground.locator(ENDED)).to_have_text("Stopped by you.")
    expect(playground.locator("#send")).to_be_enabled()


def test_regenerate_and_edit(playground: Page) -> None:
    """Regenerating answers the same question again; editing takes it back into the box."""
    ask(playground, "First")
    expect(playground.locator(ENDED)).to_have_count(1, timeout=15_000)
    playground.click("text=Regenerate")
    expect(playground.locator(ENDED)).to_have_count(1, timeout=15_000)
    expect(playground.locator("#send")).to_be_enabled(timeout=15_000)
    playground.click("text=Edit")
    expect(playground.locator("#question")).to_have_value("First")
    expect(playground.locator(".turn")).to_have_count(0)


HOSTILE = [
    "<script>window.hit = 1</script>",
    "<img src=x onerror='window.hit=1'>",
    "![x](http://example.invalid/a.png)",
    "[x](javascript:window.hit=1)",
    "[x](data:text/html,<script>parent.hit=1</script>)",
    "[x]( \u0001javascript:window.hit=1)",
    "<svg/onload=window.hit=1>",
    "<iframe srcdoc='<script>parent.hit=1</script>'>",
    "`<b onmouseover=window.hit=1>`",
    '```js" onload="window.hit=1\ncode\n```',
    "| <u>a</u> | b |\n|---|---|\n| <style>*{display:none}</style> | d |\n",
    '[x](https://ok.example/" onclick="window.hit=1)',
    "<a href='javascript:window.hit=1'>x</a>",
    "&lt;script&gt;window.hit=1&lt;/script&gt;",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_answer_stays_text(playground: Page, text: str) -> None:
    """No element, no script, no style and no link that runs comes out of an answer."""
    answer_with(playground, *chat_text(text + "\n\nend"))
    ask(playground, "Hello")
    expect(playground.locator(ENDED)).to_contain_text("Finished")
    for link in playground.locator(".answer a").all():
        if href := link.get_attribute("href"):
            assert href.startswith(("http:", "https:", "mailto:"))
            assert not link.get_attribute("onclick")
    answer = playground.locator(".answer .markdown")
    assert answer.locator("script, img, svg, iframe, style, u, b, [onload], [onerror]").count() == 0
    assert playground.evaluate("() => window.hit") is None


def test_markdown(playground: Page) -> None:
    """Headings, lists, emphasis, a table and code with a button that copies it."""
    table = "| a | b |\n|---|---|\n| 1 | 2 |"
    text = f"# Title\n\n- one\n- **two**\n\n{table}\n\n```python\nprint(1)\n```\n"
    answer_with(playground, *chat_text(text))
    ask(playground, "Hello")
    expect(playground.locator(ENDED)).to_contain_text("Finished")
    answer = playground.locator(".answer .markdown")
    expect(answer.locator("li")).to_have_count(2)
    expect(answer.locator("strong")).to_have_text("two")
    expect(answer.locator("th")).to_have_count(2)
    playground.context.grant_permissions(["clipboard-read", "clipboard-write"])
    answer.locator("figure button").click()
    assert playground.evaluate("() => navigator.clipboard.readText()").strip() == "print(1)"


def test_pictures_and_sound(playground: Page) -> None:
    """A picture that comes in the answer is shown, and sound can be played."""
    picture = {"image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    answer_with(
        playground,
        {"choices": [{"index": 0, "delta": {"images": [picture]}}]},
        {"choices": [{"index": 0, "delta": {"audio": {"data": "AAAAAAAA"}}}]},
        *chat_text("done"),
    )
    ask(playground, "Hello")
    expect(playground.locator(".answer audio")).to_have_count(1)
    assert (
        playground.locator(".answer img").evaluate(
            "(image) => image.decode().then(() => image.naturalWidth)"
        )
        == 1
    )


def test_enter_that_ends_a_composition_sends_nothing(playground: Page) -> None:
    """With an input method Enter chooses a word."""
    playground.fill("#question", "にほん")
    playground.locator("#question").dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    expect(playground.locator(".turn")).to_have_count(0)
    playground.press("#question", "Enter")
    expect(playground.locator(".turn.user")).to_have_count(1)


def test_right_to_left_and_cjk(playground: Page) -> None:
    """Each paragraph takes the direction of its own text."""
    answer_with(playground, *chat_text("مرحبا بالعالم\n\n水は待つ\n\nplain"))
    ask(playground, "שלום")
    expect(playground.locator(ENDED)).to_contain_text("Finished")
    direction = "(node) => getComputedStyle(node).direction"
    paragraphs = playground.locator(".answer p[dir]")
    assert paragraphs.nth(0).evaluate(direction) == "rtl"
    assert paragraphs.nth(2).evaluate(direction) == "ltr"
    assert playground.locator(".turn.user .text").evaluate(direction) == "rtl"


def test_the_keyboard_alone(playground: Page) -> None:
    """From the address bar to an answer without a mouse."""
    playground.locator("body").press("Tab")
    expect(playground.locator(".skip")).to_be_focused()
    playground.keyboard.press("Enter")
    playground.keyboard.press("Tab")
    playground.locator("#question").focus()
    playground.keyboard.type("Hello")
    playground.keyboard.press("Tab")
    expect(playground.locator("#send")).to_be_focused()
    playground.keyboard.press("Enter")
    expect(playground.locator(ENDED)).to_contain_text("Finished", timeout=20_000)


def test_the_key_stays_in_the_tab(playground: Page, appliance: Appliance) -> None:
    """It is sent with the question, and no other tab and no storage of the origin has it."""
    playground.fill("#key", "sk-marked")
    playground.press("#key", "Tab")
    with playground.expect_request("**/v1/chat/completions") as asked:
        ask(playground, "Hello")
    assert asked.value.headers["authorization"] == "Bearer sk-marked"
    assert "sk-marked" not in playground.inner_text("#snippet")
    assert playground.evaluate("() => JSON.stringify(localStorage)") == "{}"
    other = playground.context.new_page()
    other.goto(f"{appliance.url}/playground/")
    expect(other.locator("#key")).to_have_value("")


def test_the_self_test(playground: Page) -> None:
    """Nothing buffers here, and it says so."""
    playground.click("#selftest")
    expect(playground.locator("#verdict")).to_contain_text("No buffering", timeout=15_000)


def test_raw_events_with_their_times(playground: Page) -> None:
    """Each event as it came."""
    playground.click("#raw summary")
    ask(playground, "Hello", model="demo;tokens=5;rate=0;ttft=0")
    expect(playground.locator(ENDED)).to_contain_text("Finished", timeout=15_000)
    rows = playground.locator("#events tr")
    assert rows.count() >= 6
    expect(playground.locator("#events")).to_contain_text("[DONE]")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_serious_for_accessibility(
    browser: Browser, appliance: Appliance, scheme: str, width: int
) -> None:
    """axe-core finds nothing serious, wide and narrow, light and dark, with an answer shown."""
    context = browser.new_context(
        viewport={"width": width, "height": 850},
        color_scheme="dark" if scheme == "dark" else "light",
        bypass_csp=True,
    )
    page = context.new_page()
    page.goto(f"{appliance.url}/playground/")
    page.wait_for_function("() => document.getElementById('model').value")
    ask(page, "Hello", model="demo-reasoning;rate=0;ttft=0")
    expect(page.locator(ENDED)).to_contain_text("Finished", timeout=15_000)
    for summary in page.locator("aside summary").all():
        summary.click()
    violations = Axe().run(page).response["violations"]
    serious = [
        (violation["id"], violation["nodes"][0]["html"])
        for violation in violations
        if violation["impact"] in {"serious", "critical"}
    ]
    assert not serious
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    context.close()
