/* SPDX-License-Identifier: MIT */
/* page.js - the shape flow: what is pointed at or pinned is told in the panel, in the table and in the bars.
   A "row" is a layer (an index into data.rows); copies of a repeated layer are shown by the first, row.of. */
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const rows = data.rows;
  const byId = (id) => document.getElementById(id);
  const make = (tag, attrs, ...children) => {
    const el = document.createElement(tag);
    for (const [k, v] of Object.entries(attrs || {})) if (v !== null) el.setAttribute(k, v);
    el.append(...children);
    return el;
  };
  const count = (n) => (n < 0 ? "?" : n.toLocaleString("en-US"));
  const scaled = (n, step, units) => {
    if (n < 0) return "?";
    let u = 0;
    for (; n >= step && u < units.length - 1; u++) n /= step;
    return (u && n < 100 ? n.toFixed(1) : Math.round(n)) + units[u];
  };
  const short = (n) => scaled(n, 1000, ["", " k", " M", " G", " T", " P", " E"]);
  const bytes = (n) => scaled(n, 1024, [" B", " KiB", " MiB", " GiB", " TiB", " PiB"]);

  /* ---- what belongs to what ---- */

  const children = rows.map(() => []);
  const readers = rows.map(() => new Set());
  rows.forEach((r, i) => {
    if (r.parent >= 0) children[r.parent].push(i);
    for (const from of r.inputs) if (from >= 0) readers[rows[from].of].add(rows[i].of);
  });
  const own = (i, key) => {
    const v = rows[i][key];
    return v < 0 ? 0 : Math.max(0, v - children[i].reduce((sum, c) => sum + Math.max(0, rows[c][key]), 0));
  };
  const drawn = rows.map((r, i) => i).filter((i) => rows[i].of === i);
  const totals = {};
  for (const key of ["params", "flops", "bytes"]) totals[key] = rows.reduce((sum, r, i) => sum + own(i, key), 0);
  const parts = rows.map(() => []); /* elements that stand for a row: box, frame, table row, bar part */
  const edges = rows.map(() => []);
  data.nodes.forEach(([row], n) => {
    const el = byId("n" + n);
    if (el) parts[row].push(el);
  });
  data.edges.forEach(([from, to], e) => {
    const el = byId("e" + e);
    for (const n of new Set([from, to])) if (el) edges[data.nodes[n][0]].push(el);
  });
  drawn.forEach((i) => {
    const el = byId("f" + i);
    if (el) {
      el.classList.add("f-" + rows[i].family);
      parts[i].push(el);
    }
  });

  /* ---- pointing and pinning ---- */

  let pinned = -1, hot = -1;
  const mark = (i, name, on) => {
    if (i < 0) return;
    for (const el of parts[i]) el.classList.toggle(name, on);
    for (const el of edges[i]) el.classList.toggle("lit", on);
  };
  const show = () => {
    for (const el of document.querySelectorAll(".lit")) el.classList.remove("lit");
    mark(pinned, "pinned", true);
    mark(hot, "hot", true);
    tell(hot >= 0 ? hot : pinned);
  };
  const point = (i) => {
    mark(hot, "hot", false);
    hot = i;
    show();
  };
  const pin = (i, scroll) => {
    mark(pinned, "pinned", false);
    for (const el of document.querySelectorAll("[aria-pressed=true]")) el.setAttribute("aria-pressed", "false");
    pinned = pinned === i && !scroll ? -1 : i;
    if (pinned >= 0)
      for (const el of parts[pinned]) if (el.hasAttribute("aria-pressed")) el.setAttribute("aria-pressed", "true");
    hot = -1;
    show();
    if (scroll && pinned >= 0) (parts[pinned][0] || document.body).scrollIntoView({ block: "nearest", inline: "nearest" });
  };
  const listen = (el, i) => {
    el.addEventListener("pointerenter", () => point(i));
    el.addEventListener("pointerleave", () => point(-1));
    el.addEventListener("click", (e) => {
      e.stopPropagation();
      pin(i, false);
    });
  };

  /* ---- the panel ---- */

  const panel = byId("panel");
  const share = (value, all) => {
    if (value < 0 || all <= 0) return [];
    const bar = make("i");
    bar.style.width = Math.min(100, (100 * value) / all) + "%";
    const percent = (100 * value) / all;
    return [" (" + (percent >= 10 || percent === 0 ? Math.round(percent) : percent.toFixed(1)) + " %)", make("span", { class: "share" }, bar)];
  };
  const links = (list) => {
    const out = [];
    for (const i of list) {
      const b = make("button", { class: "link", type: "button" }, rows[i].name);
      b.addEventListener("click", () => pin(i, true));
      out.push(out.length ? make("br") : "", b);
    }
    return out;
  };
  const told = (i) => {
    const r = rows[i], n = r.copies;
    const facts = [["Line", [String(r.line)]]];
    if (n > 1) facts.push(["Repeated", ["× " + n + ", figures of one"]]);
    facts.push(["Parameters", [count(r.params), ...share(r.params, totals["params"])]]);
    facts.push(["Trainable", [count(r.trainable)]]);
    facts.push(["FLOPs a sample", [short(r.flops), ...share(r.flops, totals["flops"])]]);
    facts.push(["Activations", [bytes(r.bytes), ...share(r.bytes, totals["bytes"])]]);
    const from = [...new Set(r.inputs.filter((x) => x >= 0).map((x) => rows[x].of))].filter((x) => x !== i);
    const to = [...readers[i]].filter((x) => x !== i);
    if (from.length) facts.push(["From", links(from)]);
    if (to.length) facts.push(["To", links(to)]);
    return facts;
  };
  const tell = (i) => {
    panel.className = i < 0 ? "" : "f-" + rows[i].family;
    if (i < 0) {
      panel.replaceChildren(make("h2", {}, "Shape flow"),
        make("p", {}, "Point at a layer, or move to it with Tab and the arrow keys, to see its shapes and its cost."),
        make("p", { class: "keys" }, "Click or Enter pins it; Escape lets go."));
      return;
    }
    const r = rows[i], dl = make("dl");
    for (const [name, value] of told(i)) dl.append(make("dt", {}, name), make("dd", {}, ...value));
    panel.replaceChildren(make("h2", {}, r.type), make("p", {}, r.name + (r.text ? " · " + r.text : "")),
      make("p", { class: "flow-shape" }, (r.in === undefined ? "" : r.in + "  →  ") + r.out), dl);
  };

  /* ---- the bars ---- */

  const bar = (title, key, print) => {
    const all = totals[key], track = make("div", { class: "track", role: "img", "aria-label": title + ", by layer" });
    const unknown = rows.some((r) => r[key] < 0 || r.out === "?");
    for (const i of drawn) {
      const v = own(i, key) * rows[i].copies;
      if (!v || !all) continue;
      const el = make("div", { class: "part f-" + rows[i].family });
      el.style.width = (100 * v) / all + "%";
      listen(el, i);
      parts[i].push(el);
      track.append(el);
    }
    return make("div", { class: "bar" }, make("span", {}, title), track, make("span", {}, (unknown ? "≥ " : "") + print(all)));
  };
  byId("costs").append(make("h2", {}, "Where the cost is"), bar("Parameters", "params", short), bar("FLOPs a sample", "flops", short),
    bar("Activations", "bytes", bytes));

  /* ---- the table ---- */

  const depth = (i) => (rows[i].parent < 0 ? 0 : 1 + depth(rows[i].parent));
  const nameCell = (i) => {
    const td = make("td", {}, make("span", { class: "swatch f-" + rows[i].family }), rows[i].name);
    td.style.paddingLeft = 12 + 18 * (depth(i) + (rows[i].of !== i)) + "px";
    return td;
  };
  const cells = (i, times) => {
    const r = rows[i], sum = (key) => (r[key] < 0 ? -1 : r[key] * times);
    const all = totals["flops"];
    return [
      nameCell(i), make("td", {}, r.type),
      make("td", { class: "text" }, rows[r.of].text || ""), make("td", { class: "num" }, r.out),
      make("td", { class: "num" }, count(sum("params"))), make("td", { class: "num" }, short(sum("flops"))),
      make("td", { class: "num" }, r.flops < 0 || !all ? "?" : ((100 * sum("flops")) / all).toFixed(1) + " %"),
      make("td", { class: "num" }, bytes(sum("bytes"))), make("td", { class: "num" }, String(r.line)),
    ];
  };
  const body = make("tbody");
  const tableRows = [];
  const copyRows = (i, after) => {
    const made = [];
    rows.forEach((r, k) => {
      if (r.of !== i || k === i) return;
      const tr = make("tr", { class: "copy" }, ...cells(k, 1));
      listen(tr, i);
      made.push(tr);
    });
    after.after(...made);
    return made;
  };
  for (const i of drawn) {
    const r = rows[i], tr = make("tr", { tabindex: "-1" }, ...cells(i, r.copies));
    if (r.copies > 1) {
      const b = make("button", { class: "toggle", type: "button", "aria-expanded": "false" }, "× " + r.copies);
      let copies = null;
      b.addEventListener("click", (e) => {
        e.stopPropagation();
        copies = copies || copyRows(i, tr);
        const open = b.getAttribute("aria-expanded") === "false";
        b.setAttribute("aria-expanded", String(open));
        for (const c of copies) c.hidden = !open;
      });
      tr.firstChild.append(b);
    }
    listen(tr, i);
    parts[i].push(tr);
    tableRows[i] = tr;
    body.append(tr);
  }
  const heads = ["Layer", "Type", "Arguments", "Output", "Parameters", "FLOPs", "Share", "Activations", "Line"];
  byId("layers").append(make("table", {}, make("thead", {}, make("tr", {},
    ...heads.map((h, k) => make("th", { scope: "col", class: k > 2 ? "num" : null }, h)))), body));

  /* ---- the picture ---- */

  const boxes = [];
  data.nodes.forEach(([row, part], n) => {
    const el = byId("n" + n), r = rows[row];
    if (!el) return;
    listen(el, row);
    if (part !== 0) return;
    el.setAttribute("role", "button");
    el.setAttribute("tabindex", boxes.length ? "-1" : "0");
    el.setAttribute("aria-pressed", "false");
    el.setAttribute("aria-label", r.name + ", " + r.type + ", output " + r.out + ", " + count(r.params) + " parameters" +
      (r.copies > 1 ? ", " + r.copies + " times" : ""));
    el.addEventListener("focus", () => point(row));
    el.addEventListener("blur", () => point(-1));
    boxes.push({ el, row });
  });
  for (const i of drawn) {
    const el = byId("f" + i);
    if (el) listen(el, i);
  }
  const canvas = byId("canvas"), svg = canvas.querySelector("svg");
  canvas.addEventListener("keydown", (e) => {
    const at = boxes.findIndex((b) => b.el === document.activeElement);
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[e.key];
    if (at < 0 || (!step && e.key !== "Enter" && e.key !== " ")) return;
    e.preventDefault();
    if (!step) return pin(boxes[at].row, false);
    const next = boxes[Math.min(boxes.length - 1, Math.max(0, at + step))];
    boxes[at].el.setAttribute("tabindex", "-1");
    next.el.setAttribute("tabindex", "0");
    next.el.focus();
  });
  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape" && pinned >= 0) pin(pinned, false);
  });

  /* ---- search and zoom ---- */

  const tools = byId("tools");
  const search = make("input", { type: "search", placeholder: "Find a layer", "aria-label": "Find a layer by name, type or argument" });
  const found = make("output");
  search.addEventListener("input", () => {
    const word = search.value.trim().toLowerCase();
    let n = 0;
    for (const i of drawn) {
      const r = rows[i], hit = !word || (r.name + " " + r.type + " " + r.text + " " + r.family).toLowerCase().includes(word);
      n += hit;
      for (const el of parts[i]) if (el.classList.contains("box")) el.classList.toggle("dim", !hit);
      tableRows[i].hidden = !hit;
    }
    found.textContent = word ? n + " of " + drawn.length : "";
  });
  const natural = svg ? svg.viewBox.baseVal.width * 1.25 : 0;
  let zoom = 0; /* 0: fits */
  const resize = () => {
    const fit = Math.min(natural, canvas.clientWidth - 20);
    if (svg) svg.style.width = (zoom ? natural * zoom : fit) + "px";
  };
  const button = (text, label, act) => {
    const b = make("button", { type: "button", "aria-label": label }, text);
    b.addEventListener("click", () => {
      act();
      resize();
    });
    return b;
  };
  const now = () => zoom || Math.min(1, (canvas.clientWidth - 20) / natural);
  tools.append(search, found, button("−", "Smaller", () => { zoom = Math.max(0.1, now() / 1.25); }),
    button("+", "Larger", () => { zoom = Math.min(4, now() * 1.25); }), button("Fit", "Fit to the width", () => { zoom = 0; }),
    button("100 %", "Natural size", () => { zoom = 1; }));
  if (svg) {
    svg.removeAttribute("width");
    svg.removeAttribute("height");
  }
  addEventListener("resize", resize);
  resize();
  show();
})();
