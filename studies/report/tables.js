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
    const filter = figure.querySelector("input[type=search]");
    const all = figure.querySelector("input[type=checkbox]");
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
          if (data.columns[k].numeric) place.classList.add("number");
          if (data.columns[k].secondary) place.classList.add("secondary");
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
    if (all) all.addEventListener("change", () => figure.classList.toggle("all-columns", all.checked));
    steps.forEach((button) => button.addEventListener("click", () => {
      page += Number(button.dataset.step);
      draw();
      scroll.scrollTop = 0;
    }));
    steps.filter((button) => button.dataset.step === "-1").forEach((button) => { button.disabled = true; });
  }

  document.querySelectorAll("figure.table").forEach(start);

  // ------------------------------------------------------------------ on paper

  const paperWidth = 680;  // as `.printing main` in the style sheet

  // The first columns that together name a row; every part of a divided table begins with them.
  function naming(rows, n) {
    for (let k = 1; k <= Math.min(3, n); k += 1) {
      if (new Set(rows.map((row) => JSON.stringify(row.slice(0, k)))).size === rows.length) return k;
    }
    return 1;
  }

  // Columns that stand side by side on paper, part by part.
  function parts(widths, first) {
    const room = paperWidth - widths.slice(0, first).reduce((a, b) => a + b, 0);
    const found = [[]];
    let taken = 0;
    widths.forEach((width, k) => {
      if (k < first) return;
      if (taken + width > room && found[found.length - 1].length) {
        found.push([]);
        taken = 0;
      }
      found[found.length - 1].push(k);
      taken += width;
    });
    return found;
  }

  function divide(figure) {
    const scroll = figure.querySelector(".scroll"), table = scroll.querySelector("table");
    table.classList.add("measured");
    const widths = Array.from(table.querySelectorAll("thead th"), (head) => head.getBoundingClientRect().width);
    table.classList.remove("measured");
    if (widths.reduce((a, b) => a + b, 0) <= paperWidth) return;
    const first = naming(JSON.parse(figure.querySelector("script").textContent).rows, widths.length);
    const leading = widths.slice(0, first).map((_, k) => k);
    parts(widths, first).reverse().forEach((columns) => {
      const kept = new Set(leading.concat(columns));
      const part = scroll.cloneNode(true);
      part.classList.add("printed");
      part.querySelectorAll("tr").forEach((row) => {
        if (row.children.length === widths.length) Array.from(row.children).filter((_, k) => !kept.has(k)).forEach((cell) => cell.remove());
      });
      scroll.after(part);
    });
    scroll.classList.add("unprinted");
  }

  // Folded parts are printed too, and folded again afterwards; long tables are files for what is no paper, so that one
  // of them is printed only if the reader has it open. Tables wider than the paper are divided.
  let opened = [];
  window.addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printing");
    opened = Array.from(document.querySelectorAll("details:not([open])")).filter((fold) => !fold.querySelector("figure.table"));
    opened.forEach((fold) => { fold.open = true; });
    Array.from(document.querySelectorAll("figure.table")).filter((figure) => figure.offsetParent !== null).forEach(divide);
  });
  window.addEventListener("afterprint", () => {
    opened.forEach((fold) => { fold.open = false; });
    document.querySelectorAll(".printed").forEach((part) => part.remove());
    document.querySelectorAll(".unprinted").forEach((whole) => whole.classList.remove("unprinted"));
  });
})();
