"""Lighthouse on every page of the built site, as a phone on a slow network and as a laptop.

    python tools/audit/lighthouse.py [SITE] [page.html ...]

The site is served with compression, as every host does.  Fails below 95 for performance (the median of RUNS, default 3:
a busy machine makes pages look slow) and below 100 for accessibility, best practices and search engines.  VIEWS=phone
takes one view.
"""

import functools
import gzip
import http.server
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = "--headless=new --no-sandbox --disable-gpu --disable-background-networking --no-first-run"
WANTED = {"performance": 95, "accessibility": 100, "best-practices": 100, "seo": 100}
SHOWN = ("first-contentful-paint", "largest-contentful-paint", "total-blocking-time", "cumulative-layout-shift")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Compresses what is text, keeps connections open, lets the browser keep files."""

    protocol_version = "HTTP/1.1"

    @staticmethod
    @functools.cache
    def packed(path):
        return gzip.compress(Path(path).read_bytes(), 9)

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return self.send_error(404)
        kind = self.guess_type(str(path))
        text = kind.startswith("text/") or kind in ("application/javascript", "application/json", "image/svg+xml")
        body = self.packed(path) if text else path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if text else kind)
        if text:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "public, max-age=31536000")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def measure(url, desktop, report):
    command = [str(HERE / "node_modules" / ".bin" / "lighthouse"), url, "--quiet", "--output=json"]
    command += [f"--output-path={report}", f"--chrome-flags={FLAGS}", *(["--preset=desktop"] if desktop else [])]
    chrome = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), "")
    subprocess.run(command, check=True, env={**os.environ, "CHROME_PATH": chrome})
    return json.loads(Path(report).read_text("utf8"))


def main():
    site = Path(sys.argv[1] if len(sys.argv) > 1 else "_build/html").resolve()
    found = (path.relative_to(site) for path in site.rglob("*.html"))
    others = ("_static", "_sources", "lite", "slides")
    pages = sys.argv[2:] or sorted(p.as_posix() for p in found if p.parts[0] not in others)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    runs = int(os.environ.get("RUNS", "3"))
    bad = []
    with tempfile.TemporaryDirectory() as folder:
        for page in pages:
            for view in os.environ.get("VIEWS", "phone laptop").split():
                url = f"http://127.0.0.1:{server.server_port}/{page}"
                reports = [measure(url, view == "laptop", f"{folder}/report.json") for _ in range(runs)]
                scores = {
                    name: statistics.median(round(100 * r["categories"][name]["score"]) for r in reports)
                    for name in WANTED
                }
                audits = reports[0]["audits"]
                if 'content="noindex"' in (site / page).read_text("utf8"):
                    del scores["seo"]  # not to be found is what this page asks for
                weight = audits["total-byte-weight"]["numericValue"] / 1e3
                values = [audits[name]["displayValue"] for name in SHOWN]
                print(page, view, scores, *values, f"{weight:.0f} kB", flush=True)
                for name, wanted in WANTED.items():
                    if scores.get(name, wanted) < wanted:
                        parts = (ref["id"] for ref in reports[0]["categories"][name]["auditRefs"] if ref["weight"])
                        low = [part for part in parts if (audits[part]["score"] or 0) < 0.9]
                        bad.append(f"{page} ({view}): {name} {scores[name]:.0f} < {wanted}: {', '.join(low)}")
    server.shutdown()
    print(*bad, sep="\n")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
