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
        for (const one of buttons) {
          one.classList.toggle("mod-active", one === button);
          one.setAttribute("aria-pressed", String(one === button));
        }
        show();
      });
    }
    return { count: buttons.length, index: () => buttons.findIndex((one) => one.matches(".mod-active")) };
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

// The pictures (up to 0.3 MB) come when their explorer is near the window, or somebody is on the way by keyboard.
addEventListener("load", () => {
  const explorers = document.querySelectorAll(".nc-explore[data-pictures]");

  const fetchPictures = (explorer) => {
    near.unobserve(explorer);
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

  const near = new IntersectionObserver(
    (seen) => seen.filter((one) => one.isIntersecting).forEach((one) => fetchPictures(one.target)),
    { rootMargin: "600px 0px" },
  );
  explorers.forEach((explorer) => near.observe(explorer));
  addEventListener(
    "keydown",
    () => explorers.forEach((explorer) => explorer.dataset.pictures && fetchPictures(explorer)),
    { once: true },
  );
});
