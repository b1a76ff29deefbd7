"use strict";
// The interactive figures: feeder map, voltage envelopes, charts. Colours come from the style sheet, so that they
// follow the reader's light or dark setting.

(function () {
  const narrow = window.matchMedia("(max-width: 640px)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(pointer: coarse)");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  // Plotly reads tags in texts; names and reasons are to be shown as they are.
  const plain = (value) => String(value).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  // Hover texts do not break lines by themselves.
  function wrapped(value, width = narrow.matches ? 34 : 48) {
    const lines = [];
    for (const paragraph of String(value).split("\n")) {
      let line = "";
      for (const word of paragraph.split(" ").flatMap((w) => w.match(new RegExp(`.{1,${width}}`, "gu")) || [""])) {
        if (line && line.length + word.length >= width) {
          lines.push(line);
          line = word;
        } else {
          line = line ? `${line} ${word}` : word;
        }
      }
      lines.push(line);
    }
    return lines.map(plain).join("<br>");
  }

  const read = (id) => {
    const found = document.getElementById(id);
    return found ? JSON.parse(found.textContent) : null;
  };

  const font = () => ({ family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("text") });

  function axis(title, more) {
    return Object.assign({
      title: { text: title, standoff: 8 }, automargin: true, gridcolor: colour("rule"), zerolinecolor: colour("rule"),
      linecolor: colour("edge"), showline: true, ticks: "outside", tickcolor: colour("edge"),
    }, more);
  }

  function layout(more) {
    return Object.assign({
      font: font(), paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 56, r: 16, t: 12, b: 36 },
      hovermode: "closest", dragmode: touch.matches ? false : "pan",
      hoverlabel: { align: "left", bgcolor: colour("panel"), bordercolor: colour("edge"), font: font() },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("quiet"), activecolor: colour("accent") },
      legend: { orientation: "h", x: 0, y: 1.02, xanchor: "left", yanchor: "bottom" },
    }, more);
  }

  // On a phone the buttons would lie on the legend, and fingers zoom the page anyway.
  const settings = () => ({
    responsive: true, displaylogo: false, scrollZoom: false, displayModeBar: touch.matches || narrow.matches ? false : "hover", showSendToCloud: false,
    modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]],
  });
  const draw = (place, traces, more) => Plotly.react(place, traces, layout(more), settings());

  // ------------------------------------------------------------------ map

  function edgeTraces(network) {
    const styles = {
      line: ["lines", { color: colour("edge"), width: 1.6 }],
      transformer: ["transformers", { color: colour("line-4"), width: 4 }],
      open: ["open", { color: colour("edge"), width: 1.6, dash: "dot" }],
    };
    return Object.entries(styles).filter(([kind]) => kind === "line" || network.edges[kind].length).map(([kind, [name, line]]) => {
      const x = [], y = [];
      // The lines below a regulator's sign are plain ones.
      for (const [a, b] of kind === "line" ? network.edges.line.concat(network.edges.regulator) : network.edges[kind]) {
        x.push(network.x[a], network.x[b], null);
        y.push(network.y[a], network.y[b], null);
      }
      return { type: "scatter", mode: "lines", name, x, y, line, hoverinfo: "skip" };
    });
  }

  // A regulator's two buses often have one and the same place, where no line between them is to be seen.
  function regulatorTrace(network) {
    const middle = (values) => network.edges.regulator.map(([a, b]) => (values[a] + values[b]) / 2);
    return {
      type: "scatter", mode: "markers", name: "regulators", x: middle(network.x), y: middle(network.y), hoverinfo: "skip",
      marker: { symbol: "diamond-open", size: narrow.matches ? 16 : 20, color: colour("line-2"), line: { width: 2.5 } },
    };
  }

  function busText(network, map, k) {
    const value = map.values[k];
    const parts = [`<b>${plain(network.buses[k])}</b>`];
    if (map.marked[k] !== undefined) parts.push(`<b>${wrapped(map.marked[k])}</b>`);
    parts.push(value === null ? "no figure" : plain(`${Number(value.toPrecision(5))} ${map.unit}`));
    if (map.texts[k] !== undefined) parts.push(wrapped(map.texts[k]));
    parts.push(plain(network.about[k]) + (k === network.source ? ", source" : ""));
    if (network.same_place[k]) parts.push(wrapped(`at the same point: ${network.same_place[k].join(", ")}`));
    return parts.join("<br>");
  }

  function busTrace(network, map, chosen, more) {
    const at = (values) => chosen.map((k) => values[k]);
    const labels = chosen.map((k) => label(network, map, k));
    return Object.assign({
      type: "scatter", mode: labels.some(Boolean) ? "markers+text" : "markers", x: at(network.x), y: at(network.y), customdata: at(network.buses),
      hovertext: chosen.map((k) => busText(network, map, k)), hovertemplate: "%{hovertext}<extra></extra>",
      text: labels, textposition: sides(network, map, chosen),
      textfont: { size: narrow.matches ? 11 : 12, color: colour("text"), shadow: `0 0 3px ${colour("page")}` }, cliponaxis: false,
    }, more);
  }

  // Near an edge of the map a label runs inwards; marked buses are often neighbours.
  function sides(network, map, chosen) {
    const marked = Object.keys(map.marked).map(Number).sort((a, b) => network.x[a] - network.x[b]);
    const first = network.x.reduce((a, b) => Math.min(a, b)), last = network.x.reduce((a, b) => Math.max(a, b));
    return chosen.map((k) => {
      if (map.marked[k] !== undefined) return marked.indexOf(k) % 2 ? "bottom center" : "top center";
      const share = last > first ? (network.x[k] - first) / (last - first) : 0.5;
      return share < 0.15 ? "bottom right" : share > 0.85 ? "bottom left" : "top center";
    });
  }

  // Marked buses carry their word, the source its role; on a small feeder every bus its name.
  function label(network, map, k) {
    const name = plain(network.buses[k]);
    if (map.marked[k] !== undefined) {
      const word = String(map.marked[k]);
      return `<b>${name}</b> ${plain(word.length > 28 ? `${word.slice(0, 27)}\u2026` : word)}`;
    }
    if (k === network.source) return `${name} (source)`;
    return network.buses.length <= (narrow.matches ? 15 : 40) ? name : "";
  }

  function drawMap(data, number) {
    const { network } = data;
    const map = data.maps[number];
    const all = network.buses.map((_, k) => k);
    const valued = all.filter((k) => map.values[k] !== null);
    // The highest are drawn last, on top; marked ones above them.
    valued.sort((a, b) => (map.marked[a] !== undefined) - (map.marked[b] !== undefined) || map.values[a] - map.values[b]);
    const empty = all.filter((k) => map.values[k] === null);
    const many = network.buses.length > 1000;
    const values = valued.map((k) => map.values[k]);
    let low = values.length ? values.reduce((a, b) => Math.min(a, b)) : 0;
    let high = values.length ? values.reduce((a, b) => Math.max(a, b)) : 1;
    // Of one value alone the scale says how large it is.
    if (high === low) [low, high] = [Math.min(low, 0), Math.max(high, 0) || (low < 0 ? 0 : 1)];
    const bar = narrow.matches
      ? { orientation: "h", x: 0.5, xanchor: "center", y: -0.02, yanchor: "top", thickness: 12, len: 0.9 }
      : { x: 1.01, thickness: 14, len: 0.8 };
    const rings = (chosen) => ({
      color: chosen.map((k) => (map.marked[k] !== undefined ? colour("text") : colour("edge"))),
      width: chosen.map((k) => (map.marked[k] !== undefined ? 3 : 1)),
    });
    const sizes = (chosen, plainSize) => chosen.map((k) => (map.marked[k] !== undefined ? plainSize + 6 : plainSize));
    const symbols = (chosen) => chosen.map((k) => (k === network.source ? "square" : "circle"));
    const traces = edgeTraces(network);
    if (network.edges.regulator.length) traces.push(regulatorTrace(network));
    traces.push(busTrace(network, map, empty, {
      name: "no figure", meta: "buses", showlegend: empty.length > 0 && valued.length > 0,
      marker: { color: colour("empty"), opacity: 1, size: sizes(empty, many ? 4 : 7), symbol: symbols(empty), line: rings(empty) },
    }));
    traces.push(busTrace(network, map, valued, {
      name: plain(map.title), meta: "buses", showlegend: false,
      marker: {
        color: values, colorscale: "Viridis", cmin: low, cmax: high, opacity: 1,
        size: sizes(valued, many ? 8 : 13), symbol: symbols(valued), line: rings(valued), showscale: valued.length > 0,
        colorbar: Object.assign({
          title: { text: plain(map.unit), side: "top" }, outlinewidth: 0, tickfont: font(),
        }, bar),
      },
    }));
    const hidden = { visible: false, fixedrange: false };
    const equal = network.y_per_x === null ? {} : { scaleanchor: "x", scaleratio: network.y_per_x };
    draw(document.getElementById("map"), traces, {
      margin: { l: 12, r: narrow.matches ? 12 : 70, t: 12, b: narrow.matches ? 84 : 12 },
      xaxis: hidden, yaxis: Object.assign({}, hidden, equal),
      uirevision: "map", legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", font: font() },
    });
  }

  // ------------------------------------------------------------------ voltage envelopes

  function drawEnvelope(data, number) {
    const envelope = data[number];
    const [low, high] = envelope.limits;
    const phases = Object.entries(envelope.phases);
    const traces = phases.map(([phase, nodes], place) => {
      const known = nodes.filter((k) => envelope.lowest[k] !== null && envelope.highest[k] !== null);
      const name = "ABC".includes(phase) && phase ? `phase ${phase}` : phase || "voltages";
      const key = { A: "phase-a", B: "phase-b", C: "phase-c" }[phase] || (phases.length === 1 ? "phase-a" : "phase-other");
      const text = (k) => `<b>${plain(envelope.nodes[k])}</b><br>${envelope.lowest[k].toFixed(4)} to ` +
        `${envelope.highest[k].toFixed(4)} pu${outside(k) ? "<br>outside the limits" : ""}`;
      const wide = envelope.nodes.length < 120;
      return {
        type: "scatter", mode: "lines+markers", name: plain(name),
        x: known.flatMap((k) => [k, k, null]), y: known.flatMap((k) => [envelope.lowest[k], envelope.highest[k], null]),
        hovertext: known.flatMap((k) => [text(k), text(k), ""]), hovertemplate: "%{hovertext}<extra></extra>",
        line: { color: colour(key), width: wide ? 4 : 2 },
        marker: { color: colour(key), symbol: ["circle", "square", "diamond", "cross"][place % 4], size: wide ? 6 : 4 },
      };
    });
    function outside(k) { return envelope.lowest[k] < low || envelope.highest[k] > high; }
    const worst = envelope.nodes.map((_, k) => k).filter((k) => envelope.lowest[k] !== null && outside(k));
    if (worst.length) {
      const far = worst.flatMap((k) => [
        ...(envelope.lowest[k] < low ? [[k, envelope.lowest[k]]] : []),
        ...(envelope.highest[k] > high ? [[k, envelope.highest[k]]] : []),
      ]);
      traces.push({
        type: "scatter", mode: "markers", name: "outside the limits", x: far.map((p) => p[0]), y: far.map((p) => p[1]),
        hoverinfo: "skip", marker: { symbol: "circle-open", size: 11, color: colour("limit"), line: { width: 2 } },
      });
    }
    const line = (y) => ({
      type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { color: colour("limit"), width: 1.5, dash: "dash" },
    });
    const limit = (y, word) => ({
      xref: "paper", x: 1, xanchor: "right", y, yanchor: word === "lower" ? "top" : "bottom", showarrow: false,
      bgcolor: colour("page"), opacity: 0.85, borderpad: 1, text: `${word} limit ${y} pu`, font: { size: 12, color: colour("limit") },
    });
    const step = Math.max(1, Math.ceil(envelope.nodes.length / (narrow.matches ? 8 : 24)));
    const ticks = envelope.nodes.map((_, k) => k).filter((k) => k % step === 0);
    const known = [low, high, ...envelope.lowest, ...envelope.highest].filter((v) => v !== null);
    const [from, to] = [known.reduce((a, b) => Math.min(a, b)), known.reduce((a, b) => Math.max(a, b))];
    draw(document.getElementById("envelope"), traces, {
      xaxis: axis("bus and phase", {
        tickvals: ticks, ticktext: ticks.map((k) => plain(envelope.nodes[k])), tickangle: -60,
        range: [-1, envelope.nodes.length], showgrid: false, zeroline: false,
      }),
      yaxis: axis("voltage (pu)", { tickformat: ".2f", range: [from - 0.08 * (to - from), to + 0.08 * (to - from)] }),
      shapes: [line(low), line(high)], annotations: [limit(low, "lower"), limit(high, "upper")],
      margin: { l: 60, r: 16, t: narrow.matches ? 60 : 30, b: 70 },
    });
  }

  // ------------------------------------------------------------------ charts

  const figure = (value) => (value === null ? "\u2013" : String(Number(value.toPrecision(5))));

  function drawChart(place, chart) {
    const symbols = ["circle", "square", "diamond", "triangle-up", "x", "star"];
    const dashes = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
    const traces = [];
    if (chart.diagonal) {
      traces.push({
        type: "scatter", mode: "lines", name: "equal", x: chart.diagonal, y: chart.diagonal, hoverinfo: "skip",
        line: { color: colour("edge"), width: 1.5, dash: "dash" },
      });
    }
    chart.lines.forEach((line) => {
      const shade = colour(`line-${line.colour + 1}`);
      const few = line.x.length <= 30;
      const x = chart.words ? line.x.map(plain) : line.x;
      const bars = line.low.length > 0;
      const twice = (values) => values.flatMap((value) => [value, value, null]);
      const told = bars
        ? line.x.map((_, k) => `${line.text.length ? `<b>${wrapped(line.text[k])}</b><br>` : ""}${figure(line.low[k])} to ${figure(line.y[k])}`)
        : line.text.map((t) => wrapped(t));
      traces.push({
        type: "scatter", mode: bars ? "lines+markers" : line.points ? "markers" : few ? "lines+markers" : "lines", name: plain(line.name),
        x: bars ? twice(x) : x, y: bars ? line.y.flatMap((high, k) => [line.low[k], high, null]) : line.y, connectgaps: false,
        hovertext: bars ? twice(told) : told,
        hovertemplate: bars ? `%{hovertext}<extra>${plain(line.name)}</extra>` : `%{x}, %{y}${line.text.length ? "<br>%{hovertext}" : ""}<extra>${plain(line.name)}</extra>`,
        line: { color: shade, width: 2, dash: bars ? "solid" : dashes[line.sign] },
        marker: { color: shade, symbol: symbols[line.sign], size: bars ? 5 : line.points ? 8 : 6, opacity: line.x.length > 500 ? 0.5 : 0.9 },
      });
    });
    const named = chart.marked.map(([x, y, word]) => ({
      x, y, text: plain(word), ax: 0, ay: 28, arrowcolor: colour("limit"), font: { size: 12, color: colour("text") }, bgcolor: colour("page"), opacity: 0.9,
    }));
    const bounds = chart.limits.map((y) => ({
      type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { color: colour("limit"), width: 1.5, dash: "dash" },
    }));
    const rows = Math.ceil(traces.length / (narrow.matches ? 2 : 3));
    draw(place, traces, {
      xaxis: axis(plain(chart.x_title), chart.words ? { type: "category" } : { zeroline: false }),
      yaxis: axis(plain(chart.y_title), Object.assign({ zeroline: false }, chart.y_range === null ? {} : { range: chart.y_range })),
      shapes: bounds, annotations: named,
      margin: { l: 60, r: 16, t: traces.length > 1 ? 14 + 24 * rows : 12, b: 36 }, showlegend: traces.length > 1,
    });
  }

  // ------------------------------------------------------------------ choosing and drawing

  const chosen = { map: 0, envelope: 0 };
  const maps = read("map-data");
  const envelopes = read("envelope-data");
  const charts = Array.from(document.querySelectorAll("figure.chart")).map((figure) => [
    figure.querySelector(".plot"), JSON.parse(figure.querySelector("script").textContent),
  ]);

  function drawChosen(what) {
    if (what === "map" && maps) drawMap(maps, chosen.map);
    if (what === "envelope" && envelopes) drawEnvelope(envelopes, chosen.envelope);
    document.querySelectorAll(`[data-${what}]`).forEach((note) => {
      note.hidden = Number(note.dataset[what]) !== chosen[what];
    });
  }

  function drawAll() {
    drawChosen("map");
    drawChosen("envelope");
    charts.forEach(([place, chart]) => drawChart(place, chart));
  }

  document.querySelectorAll("[data-switch]").forEach((group) => {
    const what = group.dataset.switch;
    const buttons = Array.from(group.querySelectorAll("button"));
    const choose = (number) => {
      chosen[what] = number;
      buttons.forEach((button) => button.setAttribute("aria-pressed", String(Number(button.dataset.choice) === number)));
      drawChosen(what);
    };
    buttons.forEach((button) => button.addEventListener("click", () => choose(Number(button.dataset.choice))));
    const list = group.querySelector("select");
    if (list) list.addEventListener("change", () => choose(Number(list.value)));
  });

  // From scratch: parts that only one of the two arrangements has would otherwise stay.
  function drawAnew() {
    ["map", "envelope"].forEach((id) => { if (document.getElementById(id)) Plotly.purge(id); });
    charts.forEach(([place]) => Plotly.purge(place));
    drawAll();
  }

  [narrow, dark].forEach((query) => query.addEventListener("change", drawAnew));

  // Paper is white whatever the screen is, and a figure drawn for a wide screen would be cut off.
  window.addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printing");
    drawAnew();
  });
  window.addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    drawAnew();
  });
  drawAll();
})();
