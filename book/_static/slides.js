// A deck (book/normext/slides.py): reveal.js turns the slides, and the dials in them are those of the page.
// ?notes shows what to say beside each slide; ?print-pdf lays all slides out for printing.
(() => {
  "use strict";

  // Several chapters may meet in a deck, so an explorer is found by its file and not by the name that it has in its page.
  const files = new Map([...document.querySelectorAll(".nc-explore[data-pictures]")].map((one) => [new URL(one.dataset.pictures, location.href).href, one.id]));
  const dials = window.normcoreDials;
  window.normcoreDials = Object.assign((name, pictures) => dials(files.get(document.currentScript?.src) ?? name, pictures), dials);

  // The keys that turn a dial turn no slide; Escape leaves the dial.
  for (const dial of document.querySelectorAll(".nc-dial")) {
    dial.addEventListener("keydown", (event) => {
      if (event.key === "Escape") document.activeElement.blur();
      else if (!/^Tab$/.test(event.key)) event.stopPropagation();
    });
  }

  const asked = new URLSearchParams(location.search);
  Reveal.initialize({
    center: false,
    controlsTutorial: false,
    hash: false, // the address is that of the dials
    height: 720,
    margin: 0,
    pdfMaxPagesPerSlide: 1,
    pdfSeparateFragments: false,
    showNotes: asked.has("notes"),
    slideNumber: "c/t",
    transition: "none",
    width: 1280,
  }).then(() => {
    // a reload comes back to the slide
    const key = `normcore slide ${location.pathname}`;
    try {
      Reveal.slide(Number(sessionStorage.getItem(key)) || 0);
      Reveal.on("slidechanged", ({ indexh }) => sessionStorage.setItem(key, indexh));
    } catch {}
  });
})();
