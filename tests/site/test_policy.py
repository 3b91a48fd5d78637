"""The site under a strict Content-Security-Policy: nothing is violated, and everything still works."""

import pytest


def test_no_violation_and_every_dial_moves(strict, page_name):
    tour = strict()
    page = tour.open(page_name)
    for explorer in page.locator(".nc-explore").all():
        before = explorer.inner_html()
        control = explorer.locator("input[type=range], button[aria-pressed=false]").first
        control.focus()
        slider = control.evaluate("c => c.type === 'range' ? (c.value === c.max ? 'ArrowLeft' : 'ArrowRight') : ''")
        page.keyboard.press(slider or "Space")
        page.wait_for_function("([e, old]) => e.innerHTML !== old", arg=[explorer.element_handle(), before])
    assert not tour.console
    assert not tour.missing and not tour.elsewhere
    assert page.context.cookies() == []


@pytest.mark.parametrize("words", ["running average", "γ", "gamma"])
def test_search(strict, words):
    tour = strict()
    page = tour.open("index.html")
    page.keyboard.press("Control+k")
    page.wait_for_function("() => document.activeElement.matches('input[type=search]')")
    page.keyboard.type(words)
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")
    assert not tour.console


def test_buttons(strict):
    """Copy a program, unfold a solution, change to the dark page."""
    tour = strict(permissions=["clipboard-read", "clipboard-write"], color_scheme="light")
    page = tour.open("book/batch-norm.html")
    program = page.locator("div.cell_input:not(:has(details))").first
    program.hover()
    program.locator("button.copybtn").click()
    page.wait_for_function("async text => (await navigator.clipboard.readText()).trim() === text.trim()",
                           arg=program.locator("pre").inner_text())  # fmt: skip
    solution = page.locator(".solution.dropdown").first
    text = solution.locator("p:not(.admonition-title)").first
    assert not text.is_visible()
    solution.locator("summary").click()
    assert text.is_visible()
    theme = "() => document.documentElement.dataset.theme"
    switch = page.locator("button.theme-switch-button:visible").first
    for _ in range(3):
        switch.click()
        if page.evaluate(theme) == "dark":
            break
    assert page.evaluate(theme) == "dark"
    assert not tour.console
