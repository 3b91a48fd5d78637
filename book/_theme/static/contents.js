// The page's contents stand in the margin. While a note, a caption or a wide table is in their place they fold to one line.
(() => {
  const contents = document.querySelector(".bd-sidebar-secondary");
  if (!contents) return;
  let waits = false;
  const look = () => {
    waits = false;
    const edge = contents.getBoundingClientRect().left;
    const end = Math.min(contents.scrollHeight, innerHeight);
    const inTheWay = (one) => {
      const { right, top, bottom } = one.getBoundingClientRect();
      return right > edge && bottom > 0 && top < end;
    };
    const others = document.querySelectorAll(".nc-margin, .nc-figure > figcaption, .nc-ledger");
    contents.classList.toggle("nc-folded", [...others].some(inTheWay));
  };
  const soon = () => {
    if (!waits) requestAnimationFrame(look);
    waits = true;
  };
  addEventListener("scroll", soon, { passive: true });
  addEventListener("resize", soon);
  addEventListener("load", soon);
})();
