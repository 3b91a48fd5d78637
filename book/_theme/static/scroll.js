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
  const fade = (box) => {
    const left = box.scrollLeft > 1;
    const right = box.scrollLeft + box.clientWidth < box.scrollWidth - 1;
    box.dataset.ncMore = left && right ? "both" : right ? "right" : left ? "left" : "";
  };
  const reach = (boxes) => {
    const scroll = boxes.map((box) => box.scrollWidth > box.clientWidth); // all, before a mark asks for a new layout
    boxes.forEach((box, index) => {
      mark(box, scroll[index]);
      if (scroll[index] || box.dataset.ncMore) fade(box);
    });
  };
  const sizes = new ResizeObserver((changes) => reach(changes.map((change) => change.target)));
  const scrollers = "pre, div.math, mjx-container[display], .nc-table, .pst-scrollable-table-container";
  const boxes = [...document.querySelectorAll(`article :is(${scrollers})`)];
  for (const box of boxes) {
    sizes.observe(box);
    box.addEventListener("scroll", () => fade(box), { passive: true });
  }
  // what was folded had no width of its own
  document.addEventListener("toggle", () => reach(boxes), true);
  document.addEventListener("click", () => setTimeout(() => reach(boxes), 50));
})();
