"use strict";
(() => {
  const PAGE = 20;
  const $ = (id) => document.getElementById(id);
  const load = (name) => JSON.parse($("data-" + name).textContent);
  const { items, rows } = load("items");
  const seeds = new Map(); // a seed's texts are parsed when it is first picked
  const state = { start: 0, found: [] };

  function said(seed) {
    if (!seeds.has(seed)) {
      const columns = load("seed-" + seed);
      const wrong = items.map((_, i) => rows.reduce((n, row, r) => n + (row.trained && columns[r] && columns[r][i] && !columns[r][i][1] ? 1 : 0), 0));
      seeds.set(seed, { columns, wrong, texts: null });
    }
    return seeds.get(seed);
  }

  function texts(seed) { // built at the first search, so that opening the page costs nothing
    if (!seed.texts) {
      seed.texts = items.map((item, i) => [item.q, item.id, ...item.c, ...item.f.map((f) => f[1]), item.r || "",
        ...seed.columns.map((column) => (column && column[i] ? (column[i][0] || "") + "\n" + (column[i][2] || "") : ""))].join("\n").toLowerCase());
    }
    return seed.texts;
  }

  function make(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) { node.textContent = text; node.dir = "auto"; }
    return node;
  }

  function search() {
    const seed = said($("pick-seed").value);
    const row = $("pick-row").value, right = $("pick-right").value;
    const needle = $("search").value.trim().toLowerCase();
    const all = needle ? texts(seed) : null;
    const asked = row === "" ? rows.map((_, r) => r) : [Number(row)];
    const fits = (line) => line && (right === "right" ? line[1] : right === "wrong" ? !line[1] : line[0] === null);
    state.found = [];
    items.forEach((_, i) => {
      if (all && !all[i].includes(needle)) return;
      if (row !== "" && !(seed.columns[row] && seed.columns[row][i])) return;
      if (right && !asked.some((r) => seed.columns[r] && fits(seed.columns[r][i]))) return;
      state.found.push(i);
    });
    if ($("pick-order").value === "wrong") {
      const count = row === "" ? (i) => seed.wrong[i] : (i) => (seed.columns[row][i][1] ? 0 : 1) * 1000 + seed.wrong[i];
      state.found.sort((a, b) => count(b) - count(a) || a - b);
    }
    state.start = 0;
    show();
  }

  function card(row, line) {
    const node = make("div");
    node.style.setProperty("--c", "var(--" + row.shade + ")");
    node.append(make("p", "who", row.name));
    if (line[0] === null) {
      node.append(make("p", "verdict wrong", "✗ no answer that could be read" + (line[5] ? ": " + line[5] : "")));
      if (line[4]) node.append(make("p", "raw", "It said: " + line[4]));
    } else {
      node.append(make("p", "verdict " + (line[1] ? "right" : "wrong"), (line[1] ? "✓ right: " : "✗ wrong: ") + line[0]));
    }
    if (line[2]) node.append(make("p", "", line[2] + (line[3] ? " … (cut at the cap)" : "")));
    else node.append(make("p", "silent", line[2] === null ? "Not asked to explain." : "Said nothing."));
    return node;
  }

  function article(i, seed) {
    const item = items[i], node = make("article", "item");
    for (const [name, text] of item.f) node.append(make("p", "context", name + ": " + text));
    node.append(make("h3", "", item.q));
    const choices = make("ul", "choices");
    const listed = item.c.length ? item.c : item.a ? [item.a] : [];
    listed.forEach((choice) => choices.append(make("li", choice === item.a ? "gold" : "", choice === item.a ? choice + " ✓" : choice)));
    if (listed.length) node.append(choices);
    const grid = make("div", "said");
    rows.forEach((row, r) => { if (seed.columns[r] && seed.columns[r][i]) grid.append(card(row, seed.columns[r][i])); });
    if (item.r) {
      const reference = make("div", "reference");
      reference.append(make("p", "who", item.w && item.w !== "task" ? "Reference by " + item.w : "Reference"), make("p", "", item.r));
      grid.append(reference);
    }
    node.append(grid);
    return node;
  }

  function show() {
    const seed = said($("pick-seed").value), { found, start } = state;
    const page = found.slice(start, start + PAGE);
    $("list").replaceChildren(...page.map((i) => article(i, seed)));
    $("found").textContent = found.length === items.length ? items.length + " questions" : found.length + " of " + items.length + " questions";
    $("where").textContent = found.length ? start + 1 + " to " + (start + page.length) : "";
    $("back").disabled = start === 0;
    $("next").disabled = start + PAGE >= found.length;
    document.querySelector(".pager").hidden = found.length <= PAGE;
  }

  function turn(by) {
    state.start += by;
    show();
    $("found").scrollIntoView({ block: "start" });
  }

  let waiting = 0;
  $("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, 150); });
  for (const id of ["pick-seed", "pick-row", "pick-right", "pick-order"]) $(id).addEventListener("change", search);
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("back").addEventListener("click", () => turn(-PAGE));
  $("next").addEventListener("click", () => turn(PAGE));
  $("controls").hidden = false;
  search();
})();
