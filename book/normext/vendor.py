"""Fonts, search and slides of the site, from npm packages that are compared with the hashes below.

They are copied to ``_static/vendor/``, so that no page asks another host.  Nothing of them is kept in the repository.
Without npm (or without a network on the first build) the pages load MathJax from a public CDN instead and search with
Sphinx's own program, and the build says so in one line.
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
    "mathjax": (
        "3.2.2",
        "Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw==",
        {r"es5/(output/chtml/fonts/.*\.woff)": r"mathjax/\1"},  # for the formulas that `formulas` typesets
    ),
    "minisearch": (
        "7.2.0",
        "dqT2XBYUOZOiC5t2HRnwADjhNS2cecp9u+TJRiJ1Qp/f5qjkeT5APcGPjHw+bz89Ms8Jp+cG4AlE+QZ/QnDglg==",
        {r"dist/umd/index\.js": "minisearch.js"},  # ranks what `search` collects
    ),
    "reveal.js": (
        "6.0.2",
        "JYIg5D9aoxoaLeb84O+OvAwsKWdIavVgEDScxtYEXFCT6t6TQrhNtSgogcjdCpdLsWglhJn3zyE3fUOwiH5KEg==",
        {r"dist/(reveal\.js|reveal\.css|reset\.css)": r"reveal/\1"},  # turns the pages of `slides`
    ),
}  # fmt: skip


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
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return folder


def serve(app, config):
    try:
        folder = collect(Path(app.srcdir) / ".cache")
    except Unavailable as reason:
        log.info("vendor: %s, so the pages load MathJax from a public CDN and search with Sphinx's program", reason)
        return
    config.html_static_path.append(str(folder))
