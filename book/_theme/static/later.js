// A phone lays out a section when it is near (later.css). Who comes back to a page, or to a place in it, gets all of it
// at once: only then is it known where that place is.
{
  const page = document.documentElement.classList;
  const whole = () => page.remove("nc-later");
  const opened = performance.getEntriesByType("navigation")[0]?.type === "navigate";
  if (opened && !location.hash) page.add("nc-later");
  addEventListener("click", (event) => event.target.closest?.('a[href^="#"]') && whole(), true);
  addEventListener("hashchange", () => {
    if (!page.contains("nc-later")) return;
    whole();
    const go = () => document.querySelector(":target")?.scrollIntoView({ behavior: "instant" });
    go(); // the browser is on its way to where a place was kept
    requestAnimationFrame(() => requestAnimationFrame(go)); // and what came with the layout has its size now
  });
}
