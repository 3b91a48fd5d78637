// A phone lays out what is near, and then one section after the other while it has nothing else to do (later.css): all
// of them at once would keep it busy for a second. Who opens a place in a page, or comes back to it, has all of it at
// once, for only then is it known where that place is. So has a browser that does not hold the text still while what
// lies above it grows, and Firefox, which tells no page that a link led to a passage (":~:") of it.
{
  const page = document.documentElement.classList;
  const [opened] = performance.getEntriesByType("navigation");
  const somewhere = location.hash || opened?.name.includes(":~:"); // a link to a passage
  const still = CSS.supports("overflow-anchor: auto") && !CSS.supports("-moz-orient: inline");
  const phone = still && matchMedia("(max-width: 60rem)").matches;
  if (phone && !somewhere && opened?.type === "navigate") page.add("nc-later");

  const whole = () => {
    const seen = document.elementFromPoint(innerWidth / 2, innerHeight / 2);
    const [top, height] = [seen?.getBoundingClientRect().top, innerHeight + scrollY];
    page.remove("nc-later");
    // a page that ends above where the reader is now cannot hold the text still: the browser goes to its end
    if (seen && document.documentElement.scrollHeight < height)
      scrollBy({ top: seen.getBoundingClientRect().top - top, behavior: "instant" });
  };
  const free = window.requestIdleCallback ?? ((then) => setTimeout(then, 50));
  addEventListener("load", () => {
    const waiting = [...document.querySelectorAll(".nc-later .bd-article > section > section[style]")];
    const next = () => {
      if (!waiting.length) return whole();
      waiting.shift().removeAttribute("style");
      requestAnimationFrame(() => free(next));
    };
    free(next);
  });
  // nor does anything go far from where it was before that place is known
  for (const event of ["scroll", "keydown", "focusin"]) addEventListener(event, whole, { once: true });
  addEventListener("click", (event) => event.target.closest?.('a[href^="#"]:not(.nc-here)') && whole(), true);
  addEventListener("popstate", () => {
    if (page.contains("nc-later")) addEventListener("hashchange", go, { once: true });
    whole();
  });
  const go = () => {
    const there = () => document.querySelector(":target")?.scrollIntoView({ behavior: "instant" });
    there(); // the browser is on its way to where a place was kept
    requestAnimationFrame(() => requestAnimationFrame(there)); // and what came with the layout has its size now
  };
}
