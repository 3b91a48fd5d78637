// The page's contents stand in the margin. While a note, a caption or a wide table is in their place they fold to one line.
(() => {
  const contents = document.querySelector(".bd-sidebar-secondary");
  if (!contents) return;
  const beside = matchMedia("(min-width: 1200px)");
  let waits = false;
  const look = () => {
    waits = false;
    if (!beside.matches) return;
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

  // Bootstrap marks where the reader is, and for that lays out every section. In a drawer: when it is opened first.
  const { body } = document;
  if (beside.matches) return;
  const spy = body.dataset.bsSpy;
  delete body.dataset.bsSpy;
  const mark = () => {
    if (!spy || body.dataset.bsSpy) return;
    body.dataset.bsSpy = spy;
    bootstrap.ScrollSpy.getOrCreateInstance(body);
  };
  beside.addEventListener("change", mark);
  document.querySelector(".secondary-toggle")?.addEventListener("click", mark);
})();
