// What the theme does in attributes, and what keyboards and screen readers need from it.
(() => {
  "use strict";

  const does = { print: () => window.print(), fullscreen: () => window.toggleFullScreen() };
  for (const button of document.querySelectorAll("[data-nc-do]")) {
    button.addEventListener("click", does[button.dataset.ncDo]);
  }

  // What scrolls sideways can be reached and scrolled from the keyboard, too.
  const mark = (box, scrolls) => {
    if (scrolls === (box.tabIndex === 0)) return; // the theme sets −1 in what is folded
    if (scrolls) {
      box.tabIndex = 0;
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", box.matches("pre") ? "Code" : box.closest(".math") ? "Formula" : "Table");
    } else {
      for (const attribute of ["tabindex", "role", "aria-label"]) box.removeAttribute(attribute);
    }
  };
  const reach = (boxes) => {
    const scroll = boxes.map((box) => box.scrollWidth > box.clientWidth); // all, before a mark asks for a new layout
    boxes.forEach((box, index) => mark(box, scroll[index]));
  };
  const sizes = new ResizeObserver((changes) => reach(changes.map((change) => change.target)));
  const scrollers = "pre, div.math, mjx-container[display], .nc-table, .pst-scrollable-table-container";
  const boxes = [...document.querySelectorAll(`article :is(${scrollers})`)];
  boxes.forEach((box) => sizes.observe(box));
  // what was folded had no width of its own
  document.addEventListener("toggle", () => reach(boxes), true);
  document.addEventListener("click", () => setTimeout(() => reach(boxes), 50));

  // Paper is white.
  const root = document.documentElement.dataset;
  let theme;
  addEventListener("beforeprint", () => ([theme, root.theme] = [root.theme, "light"]));
  addEventListener("afterprint", () => (root.theme = theme));
})();
