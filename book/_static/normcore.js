// News for people who do not see the page: what a picture says after a dial has moved.
(() => {
  "use strict";

  const shownNumbers = (explorer) => explorer.querySelector(".nc-figure figcaption")?.textContent.trim() ?? "";

  const attend = (explorer) => {
    const news = document.createElement("div");
    news.className = "visually-hidden"; // Bootstrap, which the theme brings
    news.setAttribute("aria-live", "polite");
    explorer.append(news);
    let said = shownNumbers(explorer);
    let timer = 0;
    new MutationObserver(() => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        // once the dial rests, so that a drag over ten values is one sentence
        const numbers = shownNumbers(explorer);
        if (numbers !== said) news.textContent = said = numbers;
      }, 500);
    }).observe(explorer.querySelector(".nc-picture"), { childList: true });
  };

  document.querySelectorAll(".nc-explore").forEach(attend);
})();

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
