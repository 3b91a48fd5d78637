// A table of words in three columns or more: on a phone its rows become cards (narrow.css), each cell under the name of
// its column. `display` takes a table's roles away, so they are said.
(() => {
  "use strict";

  for (const table of document.querySelectorAll("article .pst-scrollable-table-container > table")) {
    const names = [...table.querySelectorAll("thead th, thead td")].map((name) => name.textContent.trim());
    if (names.length < 3) continue;
    table.classList.add("nc-cards");
    table.setAttribute("role", "table");
    for (const row of table.rows) {
      row.setAttribute("role", "row");
      [...row.cells].forEach((cell, column) => {
        cell.setAttribute("role", cell.matches("thead *") ? "columnheader" : "cell");
        if (!cell.matches("thead *")) cell.dataset.ncName = names[column] ?? "";
      });
    }
  }
})();
