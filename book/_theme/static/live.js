// The live notebook: nothing of it is loaded before somebody asks for it.
(() => {
  "use strict";

  const NEEDS_SERVER =
    "Live notebooks need a web server. In the folder of this site run “python -m http.server”, then open " +
    "http://localhost:8000/ in your browser. The sliders in the pages work as they are.";
  const fromFile = location.protocol === "file:";

  for (const control of document.querySelectorAll(".nc-live")) {
    control.addEventListener("toggle", () => {
      const frame = control.querySelector("iframe");
      if (!control.open || !frame) return;
      if (fromFile) {
        control.querySelector(".nc-live-note").textContent = NEEDS_SERVER;
        frame.remove();
      } else if (!frame.src) {
        frame.src = frame.dataset.src;
      }
    });
  }
  if (fromFile) {
    for (const link of document.querySelectorAll(".btn-live-button")) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        const control = document.querySelector(".nc-live");
        if (control) control.open = true;
        else alert(NEEDS_SERVER);
        control?.scrollIntoView();
      });
    }
  }
})();
