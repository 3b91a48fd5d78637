// A link to something folded opens it, also to the fold itself.
(() => {
  "use strict";

  const open = () => {
    let name = location.hash.slice(1);
    try {
      name = decodeURIComponent(name);
    } catch {
      // an address that is written wrongly names nothing, and must not stop the scripts of the page
    }
    const target = name && document.getElementById(name);
    if (!target) return;
    let folded = false;
    for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) {
      folded ||= !fold.open;
      fold.open = true;
    }
    if (folded) target.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();
})();
