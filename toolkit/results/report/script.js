"use strict";
(() => {
  const rows = [...document.querySelectorAll("tbody tr, .strip, .legend li, .columns .card")];
  const words = rows.map((row) => row.textContent.toLowerCase());

  // What is folded away joins what is shown, so that it can be sorted and found.
  const unfold = (scope) => scope.querySelectorAll("details.more").forEach((more) => {
    const first = more.previousElementSibling?.querySelector("table.sortable tbody");
    const rest = more.querySelector("table.sortable tbody");
    if (first && rest) {
      first.append(...rest.rows);
      more.remove();
    } else {
      more.open = true;
    }
  });

  const form = document.querySelector(".filter");
  const input = form.querySelector("input");
  const count = form.querySelector("output");
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (wanted.length) unfold(document);
    let shown = 0;
    rows.forEach((row, index) => {
      row.hidden = !wanted.every((word) => words[index].includes(word));
      shown += row.hidden ? 0 : 1;
    });
    count.textContent = wanted.length ? `${shown} of ${rows.length} rows` : "";
  });

  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const text = (cell?.dataset.v ?? cell?.innerText ?? "").trim();
    const number = Number.parseFloat(text);
    return Number.isNaN(number) ? text : number;
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return a.localeCompare(b);
  };
  document.querySelectorAll("table.sortable thead th").forEach((heading) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const table = heading.closest("table");
      unfold(heading.closest("section"));
      const down = heading.getAttribute("aria-sort") === "ascending";
      table.querySelectorAll("th[aria-sort]").forEach((th) => th.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      const keyed = [...body.rows].map((row) => [valueOf(row, heading.cellIndex), row]);
      keyed.sort(([a], [b]) => (down ? compare(b, a) : compare(a, b)));
      body.append(...keyed.map(([, row]) => row));
    });
  });
})();
