"""How long a dial takes from the move to the new picture, laid out; a frame is 16.7 ms.

``make dial-speed``: each dial of each page, in Chromium and in Firefox.  Printed: milliseconds, the median over the
dial's range and its slowest position; each position counts by the fastest of seven visits, because what another process
takes in between is not the page's.  Below them, for the pace of the machine: a plain drawing of 500 elements.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "book"), str(ROOT / "tests" / "site")]

from live_speed import chromium, firefox  # noqa: E402

from tests.site import conftest as pages  # noqa: E402

MOVE = """async () => {
  UNTIL
  document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Shift', bubbles: true}));  // the sign of a reader
  await until(() => [...document.querySelectorAll('.nc-explore')].every(e => 'alive' in e.dataset), 'live dials');
  return [...document.querySelectorAll('.nc-explore')].map(explorer => {
    const range = explorer.querySelector('input[type=range]');
    const steps = range ? [...Array(Number(range.max) + 1).keys()] : [...explorer.querySelectorAll('.nc-dial button')];
    const move = step => {
      const start = performance.now();
      if (range) { range.value = step; range.dispatchEvent(new Event('input', {bubbles: true})); }
      else step.click();
      explorer.getBoundingClientRect();
      return performance.now() - start;
    };
    const visits = [...Array(7)].map(() => steps.map(move));
    const fastest = steps.map((_, step) => Math.min(...visits.map(times => times[step]))).sort((a, b) => a - b);
    return [fastest[Math.floor(steps.length / 2)], fastest.at(-1)];
  });
}""".replace("UNTIL", pages.UNTIL)

PLAIN = """() => {
  const place = document.querySelector('.nc-explore .nc-picture');
  const mark = '<g><g><path d="M 0 0 L 9 9"></path></g><text x="5" y="5">0.5</text></g>';
  return Math.min(...[...Array(7)].map(() => {
    const start = performance.now();
    place.innerHTML = `<svg viewBox="0 0 300 200">${mark.repeat(125)}</svg>`;
    place.getBoundingClientRect();
    return performance.now() - start;
  }));
}"""


def main():
    names = [name for name in pages.built_pages() if 'class="nc-explore"' in (pages.SITE / name).read_text("utf8")]
    for url in pages.served(pages.Handler):
        for browser in (chromium, firefox):
            with browser() as window:
                for name in names:
                    window.goto(url + name)
                    times = "".join(f"{middle:8.1f}{slowest:6.1f}" for middle, slowest in window.evaluate(MOVE))
                    print(f"{browser.__name__:9}{name:32}{times}", flush=True)
                print(f"{browser.__name__:9}{'500 plain elements':32}{window.evaluate(PLAIN):8.1f}")


if __name__ == "__main__":
    main()
