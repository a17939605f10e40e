"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const { steps, items } = JSON.parse($("data-words").textContent);
  const picker = $("words-item");
  let texts = null; // built at the first search

  function make(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) { node.textContent = text; node.dir = "auto"; }
    return node;
  }

  function plain(item) {
    return item.p.length ? item.p[0].join("").replace(/\s+/g, " ") : "";
  }

  function search() {
    const needle = $("words-search").value.trim().toLowerCase(), before = picker.value;
    if (needle && !texts) texts = items.map((item) => (item.id + "\n" + item.a + "\n" + plain(item)).toLowerCase());
    const found = items.map((_, i) => i).filter((i) => !needle || texts[i].includes(needle));
    picker.replaceChildren(...found.map((i) => {
      const text = plain(items[i]), option = make("option", "", items[i].id + ": " + (text.length > 90 ? text.slice(0, 90) + "…" : text));
      option.value = i;
      return option;
    }));
    if (found.includes(Number(before)) && before !== "") picker.value = before;
    $("words-found").textContent = (found.length === items.length ? "" : found.length + " of ") + items.length + (items.length === 1 ? " item" : " items");
    show();
  }

  function marks(item, row) {
    const [step, cut, scores, list] = row, kept = list.map((pair) => pair[0]);
    const node = make("div", "marks"), heading = make("h4", "", steps[step].name);
    if (steps[step].about) heading.append(" ", make("span", "", steps[step].about));
    const text = make("p", "words"), top = Math.max(...scores, 1);
    text.dir = "auto";
    item.p[cut].forEach((piece, place) => {
      const word = (place - 1) / 2;
      if (place % 2 === 0) return text.append(piece);
      const shown = make(kept.includes(word) ? "mark" : "span", "", piece);
      shown.removeAttribute("dir");
      shown.style.setProperty("--h", (scores[word] / top).toFixed(3));
      shown.title = (scores[word] / 10).toFixed(1) + " %" + (kept.includes(word) ? ", kept" : "");
      text.append(shown);
    });
    const named = list.map(([place, share]) => item.p[cut][2 * place + 1] + " " + share + " %");
    node.append(heading, text, make("p", "keeps", "keeps: " + (named.join(", ") || "no word")));
    return node;
  }

  function show() {
    const item = picker.value === "" ? null : items[Number(picker.value)];
    $("words-back").disabled = picker.selectedIndex <= 0;
    $("words-next").disabled = picker.selectedIndex < 0 || picker.selectedIndex >= picker.options.length - 1;
    if (!item) return $("words-shown").replaceChildren(make("p", "none", "No item matches."));
    const about = make("p", "", "Gold answer: " + item.a);
    $("words-shown").replaceChildren(about, ...item.m.map((row) => marks(item, row)));
  }

  function turn(by) {
    picker.selectedIndex += by;
    show();
  }

  let waiting = 0;
  $("words-search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, 150); });
  picker.addEventListener("change", show);
  $("words-controls").addEventListener("submit", (event) => event.preventDefault());
  $("words-back").addEventListener("click", () => turn(-1));
  $("words-next").addEventListener("click", () => turn(1));
  $("words-controls").hidden = false;
  search();
})();
