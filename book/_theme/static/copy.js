// Who copies text with formulas gets their TeX: a formula's letters are drawn by the style sheet, so nothing would come.
document.addEventListener("copy", (event) => {
  "use strict";

  const selection = getSelection();
  if (!selection.rangeCount || selection.isCollapsed) return;
  const whole = (node) => node.parentElement?.closest("mjx-container") ?? null;
  const range = selection.getRangeAt(0).cloneRange();
  if (whole(range.startContainer)) range.setStartBefore(whole(range.startContainer)); // no half of a formula
  if (whole(range.endContainer)) range.setEndAfter(whole(range.endContainer));
  const copied = document.createElement("div");
  copied.append(range.cloneContents());
  const formulas = copied.querySelectorAll("mjx-container[data-tex]");
  if (!formulas.length) return;
  for (const formula of formulas) {
    const marks = formula.hasAttribute("display") ? "$$" : "$";
    formula.replaceWith(marks + formula.dataset.tex + marks);
  }
  copied.className = "visually-hidden"; // Bootstrap, which the parent theme brings; text has lines only in a page
  document.body.append(copied);
  event.clipboardData.setData("text/plain", copied.innerText);
  event.clipboardData.setData("text/html", copied.innerHTML);
  copied.remove();
  event.preventDefault();
});
