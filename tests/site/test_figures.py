"""Every figure at every position of its dials: no text is cut, no two labels touch, and on a phone all can be read.

In Chromium; ``FIGURES=firefox`` tries the same in Firefox.
"""

import base64
import io
import os
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pytest
from fontTools.ttLib import TTFont
from PIL import Image

from normbook import style

sys.path.insert(0, str(Path(__file__).parent))
import firefox
from conftest import SITE, built_pages, sampled

WIDTHS = (1280, 390)
SMALLEST = 11  # pixels of letters on a phone
# (page, what is found): why it may stay. Empty: every figure is whole.
ALLOWED: dict[tuple[str, str], str] = {}

# What is wrong with the text of pictures: [svg elements] -> [sentence, ...]; also the characters that they use.
FAULTS = """
const em = (text) => parseFloat(getComputedStyle(text).fontSize);
const corners = (text, aside) => {  // of the letters, without the empty space above and below them
  const box = text.getBBox(), size = em(text), place = text.getScreenCTM();
  const top = box.y + 0.3 * size, bottom = Math.max(box.y + 1.2 * size, box.y + box.height - 0.13 * size);
  const left = box.x - aside * size, right = box.x + box.width + aside * size;
  return [[left, top], [right, top], [right, bottom], [left, bottom]]
    .map(([x, y]) => [place.a * x + place.c * y + place.e, place.b * x + place.d * y + place.f]);
};
const apart = (one, other) => [one, other].some((shape) => shape.some((from, i) => {  // a side that parts them
  const to = shape[(i + 1) % 4], across = [from[1] - to[1], to[0] - from[0]];
  const along = (points) => points.map(([x, y]) => across[0] * x + across[1] * y);
  const [a, b] = [along(one), along(other)];
  return Math.max(...a) <= Math.min(...b) || Math.max(...b) <= Math.min(...a);
}));
const faults = (svg, smallest) => {
  const found = [], frame = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll("text")].filter((text) => text.textContent.trim());
  const name = (text) => `“${text.textContent.trim()}”`;
  for (const text of texts) {
    const out = Math.max(...corners(text, 0).map(([x, y]) =>
      Math.max(frame.left - x, x - frame.right, frame.top - y, y - frame.bottom)));
    if (out > 0.5) found.push(`${name(text)} is cut by ${out.toFixed(1)} px`);
    const place = text.getScreenCTM();
    const size = Math.min(...[text, ...text.querySelectorAll("tspan")].map(em)) * Math.hypot(place.a, place.b);
    if (size < smallest) found.push(`${name(text)} is ${size.toFixed(1)} px high`);
    const family = getComputedStyle(text).fontFamily;
    if (!/^["']?Normcore Sans/.test(family)) found.push(`${name(text)} is in ${family}`);
  }
  const places = texts.map((text) => corners(text, 0.1));
  places.forEach((one, i) => places.slice(0, i).forEach((other, j) => {
    if (!apart(one, other)) found.push(`${name(texts[j])} and ${name(texts[i])} touch`);
  }));
  return found;
};
"""
CHECK = f"""async ([files, smallest]) => {{
  {FAULTS}
  const explorers = new Map(), real = window.normcoreDials;
  window.normcoreDials = (name, pictures) => explorers.set(name, pictures);
  await Promise.all(files.map((file) => new Promise((resolve, reject) => {{
    const script = document.createElement("script");
    Object.assign(script, {{src: file, onload: resolve, onerror: () => reject(new Error(file))}});
    document.head.append(script);
  }})));
  window.normcoreDials = real;
  await document.fonts.load("12px 'Normcore Sans'");
  const found = [], letters = new Set();
  const look = (svg, where) => {{
    for (const text of svg.querySelectorAll("text")) for (const letter of text.textContent) letters.add(letter);
    for (const fault of faults(svg, smallest)) found.push(`${{where}}: ${{fault}}`);
  }};
  [...document.querySelectorAll(".nc-figure svg")].forEach((svg, i) => look(svg, `figure ${{i + 1}}`));
  let count = 0;
  for (const [name, pictures] of explorers) {{
    const holder = document.querySelector(`#${{name}} .nc-picture`);
    pictures.forEach((picture, i) => {{
      holder.innerHTML = picture;
      count += 1;
      look(holder.querySelector("svg"), `${{name}}, picture ${{i}}`);
    }});
  }}
  return {{found, count, letters: [...letters].join("")}};
}}"""


def pages_with_figures():
    return [page for page in built_pages() if 'class="nc-figure"' in (SITE / page).read_text("utf8")]


def pictures(name):
    """The files with the pictures of a page's dials, as the page names them."""
    page = name.rpartition("/")[2].removesuffix(".html")
    folder = "../" * name.count("/") + "_static/pictures/"
    return [folder + file.name for file in sorted((SITE / "_static" / "pictures").glob(f"{page}-explore-*.js"))]


@pytest.fixture(scope="module")
def window(request, url):
    """look(page, width, function, argument) in one window for all pages."""
    if os.environ.get("FIGURES") == "firefox":
        fox = firefox.Firefox(firefox.find_firefox())
        yield fox
        fox.close()
    else:
        context = request.getfixturevalue("browser").new_context()
        page = context.new_page()
        page.size = lambda width: page.set_viewport_size({"width": width, "height": 900})
        yield page
        context.close()


@pytest.mark.parametrize("name", sampled(pages_with_figures(), "figures"))
def test_the_text_of_figures_is_whole_and_can_be_read(window, url, name):
    window.goto(url + name)
    for width in WIDTHS:
        window.size(width)
        seen = window.evaluate(CHECK, [pictures(name), SMALLEST if width < 600 else 0])
        found = [fault for fault in seen["found"] if (name, fault) not in ALLOWED]
        assert not found, f"at {width} px, {len(found)} faults:\n" + "\n".join(found[:40])
        assert seen["count"] >= len(pictures(name))
    known = TTFont(style.FONT).getBestCmap()
    assert not [letter for letter in seen["letters"] if ord(letter) not in known]


PLANTED = {
    '<text x="300" y="20">this label is cut</text>': ["“this label is cut” is cut by"],
    '<text x="10" y="7">its top is cut</text>': ["“its top is cut” is cut by"],
    '<text x="10" y="20">the image</text><text x="56" y="20">company</text>': ["“the image” and “company” touch"],
    '<text x="10" y="20">0.5</text><text x="10" y="29">1.0</text>': ["“0.5” and “1.0” touch"],
    '<text transform="translate(50 98) rotate(-90)">a label</text><text x="45" y="80">1</text>': [
        "“a label” and “1” touch"
    ],
    '<text x="10" y="20" style="font-size: 9px">small</text>': ["“small” is 9.0 px high"],
    '<text x="10" y="20">10<tspan style="font-size: 7px">−3</tspan></text>': ["“10−3” is 7.0 px high"],
    '<text x="10" y="20" style="font-family: serif">other</text>': ["“other” is in serif"],
    '<text x="10" y="20">apart</text><text x="50" y="20">from</text><text x="10" y="34">each other</text>': [],
}


def test_planted_faults_are_found(window, url):
    window.goto(url + "index.html")
    look = f"""async (drawn) => {{
      {FAULTS}
      await document.fonts.load("12px 'Normcore Sans'");
      document.querySelector("article").innerHTML = '<svg viewBox="0 0 340 100" style="width: 340px; height: 100px; ' +
        `font: 12px &quot;Normcore Sans&quot;">${{drawn}}</svg>`;
      return faults(document.querySelector("article svg"), {SMALLEST});
    }}"""
    for drawn, wanted in PLANTED.items():
        found = window.evaluate(look, drawn)
        assert len(found) == len(wanted) and all(map(str.startswith, found, wanted)), (drawn, found)


def test_what_is_measured_is_what_is_shown(window, url):
    """Widths in the browser are those by which Matplotlib laid out."""
    words = ["independent values per pixel", "AVATAR, Type: LT", "γx̂ + β = 10⁻³ ± 0.25", "√(σ² + ε)"]
    font = TTFont(style.FONT)
    names, widths = font.getBestCmap(), font["hmtx"]
    measured = [sum(widths[names[ord(letter)]][0] for letter in word) / 10 for word in words]
    window.goto(url + "index.html")
    shown = window.evaluate(
        """async (words) => {
          await document.fonts.load("12px 'Normcore Sans'");
          const svg = document.querySelector(".nc-figure svg");
          svg.innerHTML = words.map((word) => `<text style="font-size: 100px">${word}</text>`).join("");
          return [...svg.children].map((text) => text.getComputedTextLength());
        }""",
        words,
    )
    assert shown == pytest.approx(measured, rel=2e-3)


def test_a_figure_can_be_taken_along(strict, tmp_path):
    """As SVG with its caption, license, typeface and a link to its cell, and as PNG; under the strict policy."""
    tour = strict()
    page = tour.page
    page.goto(tour.url + "book/scaling.html", wait_until="load")
    take = page.locator(".nc-take").first
    saved = {}
    for kind in ("svg", "png"):
        with page.expect_download() as download:
            take.get_by_role("button", name=kind.upper()).click()
        assert download.value.suggested_filename == f"normcore-scaling-1.{kind}"
        saved[kind] = tmp_path / f"figure.{kind}"
        download.value.save_as(saved[kind])
    text = saved["svg"].read_text("utf8")
    root = ElementTree.fromstring(text)
    caption = page.locator(".nc-figure figcaption").first.text_content()
    source = next(root.iter("{http://purl.org/dc/elements/1.1/}source")).text
    address, _, cell = source.partition("#")
    assert address == page.url.partition("#")[0]
    assert page.locator(f"[id='{cell}'] .nc-figure").count(), f"{source} is not the cell of the figure"
    assert next(root.iter("{http://purl.org/dc/elements/1.1/}description")).text == caption
    assert "creativecommons.org/licenses/by/4.0/" in text and 'url("data:font/woff2' in text
    written = " ".join("".join(one.itertext()) for one in root.iter("{http://www.w3.org/2000/svg}text"))
    assert caption in written and "CC BY 4.0" in written and source in written
    assert root.find("{http://www.w3.org/2000/svg}desc").text == page.locator(".nc-figure svg").first.get_attribute(
        "aria-label"
    )
    image = matplotlib.image.imread(saved["png"])
    width, height = (float(root.get(side)) for side in ("width", "height"))
    assert np.allclose(image.shape[:2], (2 * height, 2 * width), atol=2)
    assert len(np.unique(image.reshape(-1, image.shape[2]), axis=0)) > 50
    assert not tour.console and not tour.elsewhere


def test_the_photos_of_a_figure_are_taken_along_as_png_pixel_for_pixel(strict):
    """A page has them as WebP, which few programs that draw with SVG can read."""
    tour = strict()
    page = tour.page
    page.goto(tour.url + "book/style.html", wait_until="load")
    with page.expect_download() as download:
        page.locator(".nc-take").first.get_by_role("button", name="SVG").click()
    taken = _photos(download.value.path().read_text("utf8"), "png")
    shown = _photos(page.locator(".nc-figure svg").first.evaluate("svg => svg.outerHTML"), "webp")
    assert len(taken) == len(shown) >= 2
    for one, other in zip(taken, shown, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not tour.console and not tour.elsewhere


def test_where_a_canvas_cannot_be_read_photos_stay_as_they_are_and_there_is_no_png(visit):
    """Browsers that hide a reader among others give noise in its place."""
    tour = visit()
    tour.page.add_init_script("""const seen = CanvasRenderingContext2D.prototype.getImageData;
      CanvasRenderingContext2D.prototype.getImageData = function (...place) {
        const image = seen.apply(this, place);
        return new ImageData(image.data.map((v, i) => i % 4 < 3 ? 255 * Math.random() : v), image.width);
      }""")
    page = tour.open("book/style.html")
    for kind in ("SVG", "PNG"):
        with page.expect_download() as download:
            page.locator(".nc-take").first.get_by_role("button", name=kind).click()
        assert download.value.suggested_filename.endswith(".svg")
        assert len(_photos(download.value.path().read_text("utf8"), "webp")) >= 2


def _photos(svg, kind):
    found = re.findall(r'"data:image/(\w+);base64,([^"]*)"', svg)
    assert {name for name, _ in found} == {kind}
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")) for _, data in found]
