"""The built pages as files: links, addresses, alternative texts.  Needs no browser."""

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# attributes that make the browser fetch something while it shows the page
FETCHED = {
    ("script", "src"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
    ("video", "src"),
    ("audio", "src"),
}


class Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.ids, self.twice, self.links, self.fetched, self.silent = set(), set(), [], [], []
        self.feed(path.read_text("utf8"))

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        for name in filter(None, {a.get("id"), a.get("name") if tag == "a" else None}):
            (self.twice if name in self.ids else self.ids).add(name)
        for name, value in attributes:
            if (tag, name) in FETCHED:
                self.fetched.append(value)
        if tag == "link" and set(a.get("rel", "").split()) & {
            "stylesheet",
            "preload",
            "icon",
            "modulepreload",
        }:
            self.fetched.append(a["href"])
        elif tag in ("a", "link") and a.get("href"):
            self.links.append(a["href"])
        if tag == "img" and not (a.get("alt") or "").strip():
            self.silent.append(f"<img src={a.get('src', '')[:60]!r}> without alt")
        if tag == "svg" and a.get("role") == "img" and not (a.get("aria-label") or "").strip():
            self.silent.append("<svg role='img'> without aria-label")


@cache
def parsed(path):
    return Page(path)


def broken(site, name):
    """Each address in the page that leads nowhere inside the site."""
    here = site / name
    for address in parsed(here).links + parsed(here).fetched:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https", "mailto", "data", "javascript"):
            continue
        if parts.netloc or parts.path.startswith("/"):
            yield f"{address} does not work below a folder"
            continue
        if (name, address) == ("404.html", "../"):
            continue  # a host shows that page at any depth
        target = (here.parent / unquote(parts.path)).resolve() if parts.path else here.resolve()
        if target.is_dir():
            target /= "index.html"
        if not target.is_relative_to(site) or not target.exists():
            yield f"{address}: no such file"
        elif target.suffix == ".html" and unquote(parts.fragment) not in {"", *parsed(target).ids}:
            yield f"{address}: no such place in the page"


def test_links_lead_somewhere(site, page_name):
    assert not sorted(set(broken(site, page_name)))


def test_nothing_is_fetched_from_elsewhere(site, page_name):
    text = (site / page_name).read_text("utf8")
    fetched = [one for one in parsed(site / page_name).fetched if urlsplit(one).scheme in ("http", "https")]
    assert not fetched
    assert not re.findall(r"(?:unpkg|jsdelivr|cdnjs|googleapis|gstatic)\.(?:com|net)[^\s\"'<]*", text)


def test_pictures_speak(site, page_name):
    assert not parsed(site / page_name).silent


def test_names_are_unique(site, page_name):
    by_sphinx_exercise = {"exercise-content", "solution-content"}  # on every exercise; no link uses them
    if page_name == "search.html":
        return  # the theme puts its search form there twice
    assert not parsed(site / page_name).twice - by_sphinx_exercise


def test_the_checker_catches_what_it_claims_to(tmp_path):
    (tmp_path / "other.html").write_text("<p id=there>")
    (tmp_path / "page.html").write_text(
        "<a href='other.html#there'>fine</a> <a href='other.html#gone'></a> <a href='/root.html'></a>"
        "<a href='none.html'></a> <img src='none.png'> <svg role=img></svg> <p id=a><p id=a>"
    )
    assert sorted(broken(Path(tmp_path).resolve(), "page.html")) == [
        "/root.html does not work below a folder",
        "none.html: no such file",
        "none.png: no such file",
        "other.html#gone: no such place in the page",
    ]
    page = parsed(tmp_path / "page.html")
    assert len(page.silent) == 2
    assert page.twice == {"a"}
