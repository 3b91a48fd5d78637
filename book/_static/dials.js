// Dials choose pictures. An explorer's own file calls normcoreDials(explorer, [picture, ...]).
window.normcoreDials = (name, pictures) => {
  "use strict";

  const explorer = document.getElementById(name);
  const holder = explorer.querySelector(".nc-picture");
  const dials = [...explorer.querySelectorAll(".nc-dial")].map((dial) => {
    const range = dial.querySelector("input");
    if (range) {
      const labels = JSON.parse(range.dataset.labels);
      const readout = dial.querySelector("output");
      range.addEventListener("input", () => {
        readout.value = labels[range.value];
        range.setAttribute("aria-valuetext", labels[range.value]);
        show();
      });
      return { count: labels.length, index: () => Number(range.value) };
    }
    const buttons = [...dial.querySelectorAll("button")];
    for (const button of buttons) {
      button.addEventListener("click", () => {
        for (const one of buttons) one.setAttribute("aria-pressed", String(one === button));
        show();
      });
    }
    return { count: buttons.length, index: () => buttons.findIndex((one) => one.matches('[aria-pressed="true"]')) };
  });

  const chosen = () => dials.reduce((sum, dial) => sum * dial.count + dial.index(), 0);
  const drawn = new Map([[chosen(), holder.firstElementChild]]);
  const draw = (index) => {
    if (!drawn.has(index)) {
      const template = document.createElement("template");
      template.innerHTML = pictures[index];
      drawn.set(index, template.content.firstElementChild);
    }
    return drawn.get(index);
  };
  const show = () => {
    // what stands below must not move when a caption takes one line more or less
    holder.style.minHeight = `${holder.offsetHeight}px`;
    holder.replaceChildren(draw(chosen()));
  };
  addEventListener("resize", () => (holder.style.minHeight = ""));
  for (const control of explorer.querySelectorAll(".nc-dial :disabled")) control.disabled = false;
  explorer.dataset.alive = "";
};

// The pictures (up to 0.3 MB) come when their explorer is in the window; once the reader does anything, when it is near;
// and all of them when somebody is on the way by keyboard.
addEventListener("load", () => {
  const waiting = new Set(document.querySelectorAll(".nc-explore[data-pictures]"));
  let observer;

  const fetchPictures = (explorer) => {
    observer.unobserve(explorer);
    waiting.delete(explorer);
    const script = document.createElement("script");
    script.src = explorer.dataset.pictures;
    script.addEventListener("error", () => {
      const note = document.createElement("p");
      note.className = "nc-note";
      note.textContent =
        "The other pictures did not arrive, so the dials stay where they are. Reload the page to try again.";
      explorer.querySelector(".nc-picture").before(note);
    });
    document.head.append(script);
    explorer.removeAttribute("data-pictures");
  };

  const watch = (margin) => {
    observer?.disconnect();
    observer = new IntersectionObserver(
      (seen) => seen.filter((one) => one.isIntersecting).forEach((one) => fetchPictures(one.target)),
      { rootMargin: `${margin}px 0px` },
    );
    waiting.forEach((explorer) => observer.observe(explorer));
  };
  watch(0);
  const awake = new AbortController();
  for (const sign of ["scroll", "pointermove", "pointerdown"]) {
    const near = () => (awake.abort(), watch(600));
    addEventListener(sign, near, { passive: true, signal: awake.signal });
  }
  addEventListener("keydown", () => waiting.forEach(fetchPictures), { once: true });
});
