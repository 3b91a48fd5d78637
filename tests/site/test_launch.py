"""Buttons of other services: there as soon as the repository has an address, and not before."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from normext import launch_buttons, notebooks

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://github.com/Someone/normcore"
SERVICES = re.compile(r"mybinder\.org|colab\.research|codespaces\.new")


def config(url, baseurl=""):
    return SimpleNamespace(html_theme_options={"repository_url": url}, html_baseurl=baseurl)


@pytest.mark.parametrize("url", ["", None, "https://example.org/somewhere"])
def test_without_a_repository_there_are_none(url):
    assert launch_buttons.services_for(launch_buttons.repository(config(url)), "scaling.ipynb", None) == []


def test_with_a_repository_each_opens_this_chapter():
    links = launch_buttons.services_for(launch_buttons.repository(config(REPOSITORY + "/")), "scaling.ipynb", None)
    assert {one["text"]: one["url"] for one in links} == {
        "Binder": "https://mybinder.org/v2/gh/Someone/normcore/HEAD?urlpath=lab/tree/lab/scaling.ipynb",
        "Colab": "https://colab.research.google.com/github/Someone/normcore/blob/notebooks/scaling.ipynb",
        "Codespaces": "https://codespaces.new/Someone/normcore",
    }


def test_the_site_s_address_follows_from_the_repository():
    derived = config(REPOSITORY)
    launch_buttons.find_site(None, derived)
    assert derived.html_baseurl == "https://someone.github.io/normcore/"
    own = config(REPOSITORY, "https://norms.example.org/")
    launch_buttons.find_site(None, own)
    assert own.html_baseurl == "https://norms.example.org/"


def test_downloads_install_from_the_repository_once_there_is_one():
    cell = notebooks.setup_cell
    assert "git+" not in cell(config(""))
    assert f"'git+{REPOSITORY}'" in cell(config(REPOSITORY))


def test_the_pages_show_what_the_configuration_says(site, page_name):
    url = re.search(r'^repository:\n  url: "(.*)"', (ROOT / "_config.yml").read_text("utf8"), re.M)[1]
    header = re.search(r'<div class="article-header-buttons">.*?</article>', (site / page_name).read_text("utf8"), re.S)
    if header and not url:
        assert not re.search(rf'<a href="[^"]*({SERVICES.pattern})', header[0].partition("<h1>")[0])


def test_the_workflow_pins_its_actions_and_asks_for_little():
    text = (ROOT / ".github" / "workflows" / "site.yml").read_text("utf8")
    used = re.findall(r"uses: (\S+)", text)
    assert used and all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", one) for one in used)
    assert re.search(r"^permissions:\n  contents: read\n\n", text, re.M)
    assert sorted(set(re.findall(r"([\w-]+): write", text))) == ["contents", "id-token", "pages"]


def test_the_workflow_keeps_what_was_executed():
    text = (ROOT / ".github" / "workflows" / "site.yml").read_text("utf8")
    build = text.partition("\n  build:")[2].partition("\n  elsewhere:")[0]
    step = re.search(r"uses: actions/cache@.*?(?=\n      - )", build, re.S)
    assert step and step.end() < build.index("run: .ci/run")
    assert re.search(r"^ +_build/\.jupyter_cache$", step[0], re.M)
    key, earlier = re.search(r" key: (.*)", step[0])[1], re.search(r" restore-keys: (.*)", step[0])[1]
    assert "hashFiles('requirements*.txt')" in earlier and key == earlier + "${{ github.sha }}"
    assert not re.search(r"rm -r\S* +(_build(/| |$)|\.cache)", (ROOT / ".ci" / "run").read_text("utf8"))
