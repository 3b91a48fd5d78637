"""The place that a page keeps for a section which a phone has not laid out yet."""

import pytest
from normext.heights import BLOCK, CHARACTER, ENDS, FOLD, FORMULA, LINE, PICTURE, PROGRAM, SPARE, height, say, without

WORDS = "<p>twelve chars</p>"
TALL = ENDS + CHARACTER * 12 + BLOCK


@pytest.mark.parametrize(
    ("html", "high"),
    [
        (WORDS, TALL),
        ("<p>\n twelve  <em>\n chars</em></p>", TALL + CHARACTER),  # spaces count once, marks do not
        (WORDS + '<svg class="x" viewBox="0 0 300 150"><text>never read</text></svg>', TALL + PICTURE / 2),
        (WORDS + '<svg viewBox="0 0 16 16"></svg>', TALL),  # an icon stands in a line
        (WORDS + "<pre>a\nb\n</pre>", TALL + PROGRAM + 2 * LINE),
        (WORDS + "<details><summary>Show it</summary><p>long</p><pre>a\n</pre></details>", TALL + FOLD),
        (WORDS + "<details><p>a</p><details><p>b</p></details></details>", TALL + 2 * FOLD),
        (
            WORDS + '<div class="math"><mjx-container display="true"><mjx-c class="x"></mjx-c></mjx-container></div>',
            TALL + FORMULA,
        ),
        (
            '<p>twelve char<mjx-container><mjx-c class="x"></mjx-c><mjx-assistive-mml><mi>s</mi></mjx-assistive-mml>'
            "</mjx-container></p>",
            TALL,
        ),
    ],
)
def test_what_is_seen_adds_to_the_height(html, high):
    assert height(html) == pytest.approx(SPARE * high)


def test_elements_within_each_other_go_with_their_text():
    assert without("a<b>c<b>d</b>e</b>f<b>g</b><bcd>h</bcd>", "b") == ("af<bcd>h</bcd>", 3)


def test_each_section_below_the_title_has_a_place_and_the_text_is_the_same():
    inner = f'<section class="s" id="one"><h2>One</h2>{WORDS}<section id="deep"><h3>Deep</h3></section></section>'
    page = f'<section id="title"><h1>Title</h1>{WORDS}\n{inner}\n<section id="two"></section>\n</section>\n<p>end</p>'
    said = say(page)
    empty = f"{height(''):.0f}"
    high = height(f'<h2>One</h2>{WORDS}<section id="deep"><h3>Deep</h3></section>')
    assert f'<section class="s" id="one" style="--nc-height: {high:.0f}px"><h2>One' in said
    assert f'<section id="two" style="--nc-height: {empty}px"></section>' in said
    assert said.count("style=") == 2 and 'id="deep">' in said and 'id="title">' in said
    assert said.replace(f' style="--nc-height: {high:.0f}px"', "").replace(
        f' style="--nc-height: {empty}px"', "") == page  # fmt: skip
    assert say("<p>no section</p>") == "<p>no section</p>"
