"""Serve every script and font of the site from the site itself.

MathJax, require.js and the widget manager are taken from their npm packages, compared with the hashes
below, and copied to ``_static/vendor/``.  Nothing of them is kept in the repository.  Without npm (or
without a network on the first build) the pages load the three from public CDNs instead, and the build
says so in one line.
"""

import base64
import hashlib
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from sphinx.errors import ExtensionError
from sphinx.util import logging

log = logging.getLogger(__name__)

# npm package: version, SHA-512 of its archive, the files wanted {path in the package: path in vendor/}
PACKAGES = {
    "requirejs": (
        "2.3.8",
        "7/cTSLOdYkNBNJcDMWf+luFvMriVm7eYxp4BcFCsAX0wF421Vyce5SXP17c+Jd5otXKGNehIonFlyQXSowL6Mw==",
        {r"require\.js": "require.js"},
    ),
    "@jupyter-widgets/html-manager": (
        "1.0.15",
        "5thBIV6ymNgmPVOHvzx+gGy8ZSKmSazhtGw4/c4xJDVzRhG9PTeQsRjF3FUTopvFi//SABeNz1yp47bCrJ3CQA==",
        {r"dist/(embed-amd\.js|[0-9a-f]+\.woff2)": r"widgets/\1"},
    ),
    "mathjax": (
        "3.2.2",
        "Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw==",
        # the rest is loaded on demand: rare TeX commands, the reader's choices in the formula menu, speech
        {r"es5/(tex-chtml\.js|input/tex/extensions/.*|output/chtml/fonts/.*\.woff|output/svg\.js|output/svg/fonts/.*"
         r"|a11y/.*|sre/mathmaps/(?:base|en|nemeth)\.json)": r"mathjax/\1"},
    ),
}  # fmt: skip

# The theme has every icon twice: as fonts, and as 1.5 MB of script that holds the first paint back.
# The fonts will do.
ICON_SCRIPT = "_static/vendor/fontawesome/*/js/all.min.js"

# Otherwise the theme writes "Got invalid theme mode" to the console, and paints without colors for a moment.
THEME_MODE = """{
  const root = document.documentElement.dataset;
  root.mode ||= "auto";
  root.theme ||= matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}"""


class Unavailable(Exception):
    """The packages cannot be had here, through no fault of theirs."""


def archive(name, version, sha512, cache):
    """Path of the package's archive, downloaded once; never one with other bytes than expected."""
    path = cache / f"{name.lstrip('@').replace('/', '-')}-{version}.tgz"
    if not path.exists():
        npm = shutil.which("npm")
        if not npm:
            raise Unavailable("npm is not installed")
        cache.mkdir(parents=True, exist_ok=True)
        command = [npm, "pack", "--silent", f"{name}@{version}", "--pack-destination", str(cache)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=cache)
        if done.returncode or not path.exists():
            reason = (done.stderr.strip() or "no archive").splitlines()[-1]
            raise Unavailable(f"npm could not fetch {name} ({reason})")
    found = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if found != sha512:
        path.unlink()
        raise ExtensionError(f"{path.name} has SHA-512 {found}, expected {sha512}: not used, and deleted")
    return path


def collect(cache):
    """Folder that holds ``vendor/`` as the site will serve it; made once for each version of this file."""
    folder = cache / "site" / hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    if folder.exists():
        return folder
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    for name, (version, sha512, wanted) in PACKAGES.items():
        with tarfile.open(archive(name, version, sha512, cache / "npm")) as tar:
            for member in tar.getmembers():
                inner = member.name.removeprefix("package/")
                for pattern, target in wanted.items():
                    match = re.fullmatch(pattern, inner)
                    if match and member.isfile():
                        path = part / "vendor" / match.expand(target)
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.write_bytes(tar.extractfile(member).read())
    manager = part / "vendor/widgets/embed-amd.js"
    manager.write_text(mended(manager.read_text("utf8")), "utf8")
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return folder


def mended(script):
    """The widget manager without its three mistakes; each shows as an error or a warning in the console."""
    mends = [
        # it looks its fonts up relative to the page, where they are not: look beside the script
        (r'\b\w+\.p\+"([0-9a-f]{20}\.\w+)"', r'widgetFiles+"\1"'),
        # it calls MathJax 2, and stops with an error where it finds MathJax 3
        (r'MathJax\.Hub\.Queue\(\["Typeset",MathJax\.Hub,(\w+)\]\)', r"MathJax.typesetPromise?.([\1])"),
        # its JSON checker warns about the manager's own schema on every page
        (r'(strictTypes:[^"]*)"log"', r"\1!1"),
    ]
    for pattern, better in mends:
        script, count = re.subn(pattern, better, script)
        if not count:
            raise ExtensionError(f"embed-amd.js has nothing like {pattern} now: is that mend still needed?")
    return 'var widgetFiles=document.currentScript.src.replace(/[^\\/]*$/,"");' + script


def serve(app, config):
    try:
        folder = collect(Path(app.srcdir) / ".cache")
    except Unavailable as reason:
        log.info("vendor: %s, so the pages load MathJax and the widget manager from public CDNs", reason)
        return
    config.html_static_path.append(str(folder))
    config.mathjax_path = "vendor/mathjax/tex-chtml.js"
    # deferred: the text shows before 3.6 MB of widgets arrive; "data:,": no other place to look for modules
    config.nb_ipywidgets_js = {
        "vendor/require.js": {"defer": "defer"},
        "vendor/widgets/embed-amd.js": {"defer": "defer", "data-jupyter-widgets-cdn": "data:,"},
    }


def without_thebe(app):
    """Take back what sphinx_thebe registered: Jupyter Book always loads it, and it has no switch.

    It puts the address of a script on unpkg on every page and declares it twice (an error in the console).
    This book runs its chapters without it.
    """
    for listeners in app.events.listeners.values():
        listeners[:] = [one for one in listeners if one.handler.__module__ != "sphinx_thebe"]
    app.registry.css_files[:] = [one for one in app.registry.css_files if one[0] != "sphinx-thebe.css"]


def empty_icon_script(app, error):
    for script in Path(app.outdir).glob(ICON_SCRIPT):
        script.write_text("// The icons come from the fonts beside this folder.\n")


def setup(app):
    without_thebe(app)
    app.connect("build-finished", empty_icon_script)
    app.connect("config-inited", serve)
    app.add_js_file(None, body=THEME_MODE, priority=0)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
