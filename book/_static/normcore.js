// What ipywidgets leaves out for people who do not see the page: names and values of the dials, and the news
// after a move. It waits for the widgets, which arrive late or, without a network, never.
(() => {
  "use strict";

  const set = (element, attribute, value) => {
    if (element.getAttribute(attribute) !== value) element.setAttribute(attribute, value);
  };

  const labelOf = (dial) => {
    const label = dial.querySelector(".widget-label");
    if (label?.title === "null") label.removeAttribute("title");
    return label?.textContent.trim() ?? "";
  };

  const nameDials = (explorer) => {
    for (const dial of explorer.querySelectorAll(".widget-slider")) {
      const handle = dial.querySelector(".noUi-handle");
      if (!handle) continue;
      const readout = dial.querySelector(".widget-readout");
      set(handle, "aria-label", labelOf(dial));
      set(handle, "aria-valuetext", readout?.textContent.trim() ?? "");
      readout?.removeAttribute("contenteditable"); // typing there does nothing: no place to stop at
    }
    for (const dial of explorer.querySelectorAll(".widget-toggle-buttons")) {
      set(dial, "role", "group");
      set(dial, "aria-label", labelOf(dial));
      for (const button of dial.querySelectorAll("button")) {
        set(button, "aria-pressed", String(button.classList.contains("mod-active")));
      }
    }
  };

  const shownNumbers = (explorer) =>
    [...explorer.querySelectorAll(".nc-figure figcaption")]
      .filter((caption) => caption.getClientRects().length)
      .map((caption) => caption.textContent.trim())
      .join(" ");

  const attend = (explorer) => {
    // The live picture stands: its twin would only double every id and label in the page.
    explorer.closest(".widget-subarea")?.parentElement.querySelector(":scope > .nc-fallback")?.remove();
    const news = document.createElement("div");
    news.className = "visually-hidden"; // Bootstrap, which the theme brings
    news.setAttribute("aria-live", "polite");
    explorer.append(news);
    let said = shownNumbers(explorer);
    let timer = 0;
    new MutationObserver(() => {
      nameDials(explorer);
      clearTimeout(timer);
      timer = setTimeout(() => {
        // once the dial rests, so that a drag over ten values is one sentence
        const numbers = shownNumbers(explorer);
        if (numbers !== said) news.textContent = said = numbers;
      }, 500);
    }).observe(explorer, {
      attributes: true,
      attributeFilter: ["aria-valuetext", "class", "contenteditable", "style"],
      characterData: true,
      childList: true,
      subtree: true,
    });
    nameDials(explorer);
  };

  const seen = new WeakSet();
  const look = () => {
    for (const explorer of document.querySelectorAll(".nc-explore")) {
      if (seen.has(explorer) || !explorer.querySelector(".nc-figure")) continue;
      seen.add(explorer);
      attend(explorer);
    }
  };
  for (const output of document.querySelectorAll(".cell_output")) {
    new MutationObserver(look).observe(output, { childList: true, subtree: true });
  }
  addEventListener("load", look); // it asks for the layout, which the first paint needs not wait for
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
