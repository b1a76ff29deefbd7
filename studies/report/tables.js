"use strict";
// Tables that sort by a click on a header, filter by words and show one page of rows at a time.

document.documentElement.classList.add("scripts");

(function () {
  // Bus "9" before bus "10".
  const order = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const missing = "\u2013";

  function text(cell, column) {
    if (cell === null) return missing;
    return column.numeric && column.digits !== null ? Number(cell).toFixed(column.digits) : String(cell);
  }

  // Missing cells come last whichever way the others run; equal ones stay in the order of the study.
  function sorted(rows, k, column, direction) {
    const known = rows.filter((row) => row[k] !== null);
    const unknown = rows.filter((row) => row[k] === null);
    const compare = column.numeric ? (a, b) => a[k] - b[k] : (a, b) => order.compare(a[k], b[k]);
    known.sort((a, b) => direction * compare(a, b));
    return known.concat(unknown);
  }

  function start(figure) {
    const data = JSON.parse(figure.querySelector("script").textContent);
    const body = figure.querySelector("tbody");
    const heads = Array.from(figure.querySelectorAll("thead th"));
    const filter = figure.querySelector("input");
    const count = figure.querySelector(".count");
    const steps = Array.from(figure.querySelectorAll("[data-step]"));
    const scroll = figure.querySelector(".scroll");
    if (!data.rows.length) return;
    let ordered = data.rows;
    let shown = ordered;
    let page = 0;
    let words = null;

    // Made at the first word typed: long tables are seldom searched.
    function wordsOf(row) {
      if (words === null) {
        words = new Map(data.rows.map((r) => [r, r.map((c, k) => text(c, data.columns[k])).join("\t").toLowerCase()]));
      }
      return words.get(row);
    }

    function draw() {
      const size = data.rowsPerPage;
      const pages = Math.max(1, Math.ceil(shown.length / size));
      page = Math.min(Math.max(page, 0), pages - 1);
      const first = page * size;
      const rows = shown.slice(first, first + size);
      body.replaceChildren(...rows.map((row) => {
        const line = document.createElement("tr");
        row.forEach((cell, k) => {
          const place = document.createElement("td");
          if (data.columns[k].numeric) place.className = "number";
          place.textContent = text(cell, data.columns[k]);
          line.append(place);
        });
        return line;
      }));
      if (!rows.length) {
        const place = document.createElement("td");
        place.className = "none";
        place.colSpan = data.columns.length;
        place.textContent = "no row holds all of these words";
        const line = document.createElement("tr");
        line.append(place);
        body.append(line);
      }
      if (count) {
        const all = data.rows.length.toLocaleString("en");
        const found = shown.length.toLocaleString("en");
        const of = shown.length === data.rows.length ? all : `${found} found in ${all}`;
        count.textContent = pages > 1 ? `rows ${first + 1} to ${first + rows.length} of ${of}` : `${of} rows`;
      }
      steps.forEach((button) => {
        const to = page + Number(button.dataset.step);
        button.disabled = to < 0 || to >= pages;
      });
    }

    function search() {
      const asked = filter ? filter.value.toLowerCase().split(/\s+/).filter(Boolean) : [];
      shown = asked.length ? ordered.filter((row) => asked.every((word) => wordsOf(row).includes(word))) : ordered;
      page = 0;
      draw();
    }

    heads.forEach((head, k) => head.addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", other === head ? direction : "none"));
      ordered = sorted(data.rows, k, data.columns[k], direction === "ascending" ? 1 : -1);
      search();
      scroll.scrollTop = 0;
    }));
    if (filter) filter.addEventListener("input", search);
    steps.forEach((button) => button.addEventListener("click", () => {
      page += Number(button.dataset.step);
      draw();
      scroll.scrollTop = 0;
    }));
    steps.filter((button) => button.dataset.step === "-1").forEach((button) => { button.disabled = true; });
  }

  document.querySelectorAll("figure.table").forEach(start);

  // Folded parts are printed too, and folded again afterwards.
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = Array.from(document.querySelectorAll("details:not([open])"));
    opened.forEach((fold) => { fold.open = true; });
  });
  window.addEventListener("afterprint", () => opened.forEach((fold) => { fold.open = false; }));
})();
