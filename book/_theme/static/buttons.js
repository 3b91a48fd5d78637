// What buttons do, for an attribute may not say it under a strict policy; and paper, which is white.
(() => {
  "use strict";

  const does = { print: () => window.print(), fullscreen: () => window.toggleFullScreen() };
  for (const button of document.querySelectorAll("[data-nc-do]")) {
    button.addEventListener("click", does[button.dataset.ncDo]);
  }

  const root = document.documentElement.dataset;
  let theme;
  addEventListener("beforeprint", () => ([theme, root.theme] = [root.theme, "light"]));
  addEventListener("afterprint", () => (root.theme = theme));
})();
