// What scrolls sideways can be reached and scrolled from the keyboard, and its cut edge fades (narrow.css).
(() => {
  "use strict";

  const mark = (box, scrolls) => {
    if (scrolls === (box.tabIndex === 0)) return;
    if (scrolls) {
      box.tabIndex = 0;
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", box.matches("pre") ? "Code" : box.closest(".math") ? "Formula" : "Table");
    } else {
      for (const attribute of ["tabindex", "role", "aria-label"]) box.removeAttribute(attribute);
    }
  };
  const more = (box) => {
    const left = box.scrollLeft > 1;
    const right = box.scrollLeft + box.clientWidth < box.scrollWidth - 1;
    return left && right ? "both" : right ? "right" : left ? "left" : "";
  };
  const fade = (box, where) => {
    if (where !== (box.dataset.ncMore ?? "")) box.dataset.ncMore = where;
  };
  const reach = (boxes) => {
    // all are asked before one is marked: each mark makes the next answer a new layout
    const found = boxes.map((box) => [box, box.scrollWidth > box.clientWidth, more(box)]);
    for (const [box, scrolls, where] of found) {
      mark(box, scrolls);
      fade(box, where);
    }
  };
  const sizes = new ResizeObserver((changes) => reach(changes.map((change) => change.target)));
  const scrollers = "pre, div.math, mjx-container[display], .nc-table, .pst-scrollable-table-container";
  const boxes = [...document.querySelectorAll(`article :is(${scrollers})`)];
  for (const box of boxes) {
    sizes.observe(box);
    box.addEventListener("scroll", () => fade(box, more(box)), { passive: true });
  }
  // what was folded had no width of its own
  document.addEventListener("toggle", () => reach(boxes), true);
  document.addEventListener("click", () => setTimeout(() => reach(boxes), 50));
})();
