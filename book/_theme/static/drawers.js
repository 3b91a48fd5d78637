// The two columns beside the text. On a narrow window they are drawers: one that is closed takes no focus, one that is
// open keeps it, and a choice, Escape or a tap beside it closes it. The parent theme opens them by boxes to check.
(() => {
  "use strict";

  const rest = document.querySelector(".bd-article-container");
  const drawer = (name, always, unfolds) => {
    const column = document.querySelector(`.bd-sidebar-${name}`);
    const box = document.getElementById(`pst-${name}-sidebar-checkbox`);
    const button = document.querySelector(`.${name}-toggle`);
    if (!button) return null;
    const narrow = matchMedia(`(max-width: ${always}px)`);
    const wide = matchMedia(`(min-width: ${unfolds}px)`); // there a check folds the column away
    const over = () => narrow.matches && box.checked;
    const state = () => {
      column.inert = narrow.matches ? !box.checked : wide.matches && box.checked;
      button.setAttribute("aria-expanded", String(!column.inert));
    };
    const close = () => {
      box.checked = false;
      update();
      button.focus();
    };
    narrow.addEventListener("change", () => update());
    wide.addEventListener("change", () => update());
    box.addEventListener("change", () => update());
    const enter = (tries = 60) => {
      const first = column.querySelector("a, button");
      first.focus();
      if (document.activeElement === first || !over() || !tries) return;
      requestAnimationFrame(() => enter(tries - 1)); // what slides in is not there yet
    };
    button.addEventListener("click", () =>
      setTimeout(() => {
        update(); // after the parent's own listener, which tries once
        if (over()) enter();
      }),
    );
    column.addEventListener("click", (event) => {
      if (!over() || !event.target.closest("a")) return;
      box.checked = false;
      update();
    });
    return { over, state, close };
  };
  const drawers = [drawer("primary", 959.98, 992), drawer("secondary", 1199.98, 1e6)].filter(Boolean);
  const update = () => {
    drawers.forEach((one) => one.state());
    rest.inert = drawers.some((one) => one.over());
  };
  addEventListener(
    "keydown",
    (event) => {
      const open = event.key === "Escape" && drawers.find((one) => one.over());
      if (!open) return;
      event.stopPropagation();
      open.close();
    },
    true,
  );
  addEventListener("pageshow", update); // a browser may bring a checked box back
  update();
})();
