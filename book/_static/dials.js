// Dials choose pictures. A page's own file of pictures calls normcoreDials({explorer: [picture, ...]}).
window.normcoreDials = (pages) => {
  "use strict";

  for (const [name, pictures] of Object.entries(pages)) {
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
  }
};

// The pictures (up to 0.3 MB) come when an explorer is near the window, or somebody is on the way to it by keyboard.
addEventListener("load", () => {
  const pictures = document.getElementById("nc-pictures");
  if (!pictures) return;

  const fetchOnce = () => {
    near.disconnect();
    removeEventListener("keydown", fetchOnce);
    const script = document.createElement("script");
    script.src = pictures.dataset.src;
    script.addEventListener("error", () => {
      for (const picture of document.querySelectorAll(".nc-explore:not([data-alive]) .nc-picture")) {
        const note = document.createElement("p");
        note.className = "nc-note";
        note.textContent =
          "The other pictures did not arrive, so the dials stay where they are. Reload the page to try again.";
        picture.before(note);
      }
    });
    document.head.append(script);
  };

  const near = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && fetchOnce(), {
    rootMargin: "800px 0px",
  });
  for (const explorer of document.querySelectorAll(".nc-explore")) near.observe(explorer);
  addEventListener("keydown", fetchOnce);
});
