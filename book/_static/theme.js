// What the theme does in attributes, and what keyboards and screen readers need from it.
(() => {
  "use strict";

  const does = { print: () => window.print(), fullscreen: () => window.toggleFullScreen() };
  for (const button of document.querySelectorAll("[data-nc-do]")) {
    button.addEventListener("click", does[button.dataset.ncDo]);
  }

  // What scrolls sideways can be reached and scrolled from the keyboard, too.
  const scrollers = document.querySelectorAll("article :is(pre, div.math, .nc-table, .pst-scrollable-table-container)");
  const reach = () => {
    for (const box of scrollers) {
      const scrolls = box.scrollWidth > box.clientWidth + 1;
      if (scrolls === box.hasAttribute("tabindex")) continue;
      if (scrolls) {
        box.tabIndex = 0;
        box.setAttribute("role", "region");
        box.setAttribute("aria-label", box.matches("pre") ? "Code" : box.matches("div.math") ? "Formula" : "Table");
      } else {
        for (const attribute of ["tabindex", "role", "aria-label"]) box.removeAttribute(attribute);
      }
    }
  };
  new ResizeObserver(reach).observe(document.body);

  // Paper is white.
  const root = document.documentElement.dataset;
  let theme;
  addEventListener("beforeprint", () => ([theme, root.theme] = [root.theme, "light"]));
  addEventListener("afterprint", () => (root.theme = theme));
})();
