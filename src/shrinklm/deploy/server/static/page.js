"use strict";
const at = (id) => document.getElementById(id);
const form = at("ask");
const button = form.querySelector("button");

const body = () => {
  const asked = { question: at("question").value };
  form.querySelectorAll("[data-field]").forEach((field) => {
    if (field.value.trim()) asked[field.dataset.field] = field.value;
  });
  if (at("choices")) asked.choices = at("choices").value.split("\n").map((line) => line.trim()).filter(Boolean);
  const by = form.querySelector("[name=by]:checked");
  if (by) asked.by = by.value;
  asked.explain = at("explain")?.checked ?? false;
  asked.words = at("words")?.checked ?? false;
  return asked;
};

const made = (name, text, kind) => {
  const element = document.createElement(name);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
};

const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;

const shown = (id, wanted) => { at(id).hidden = !wanted; return wanted; };

const probabilities = (reply) => {
  const rows = Object.entries(reply.probabilities).sort((a, b) => b[1] - a[1]).map(([option, share]) => {
    const row = document.createElement("tr");
    const name = made("th", option);
    name.scope = "row";
    if (option === reply.answer) name.className = "given";
    const bar = made("span", "", "bar");
    bar.style.setProperty("--share", share);
    bar.setAttribute("aria-hidden", "true");
    const line = made("div", "", "share");
    line.append(bar, made("span", percent(share), "percent"));
    const cell = document.createElement("td");
    cell.append(line);
    row.append(name, cell);
    return row;
  });
  if (shown("likely", rows.length)) at("options").replaceChildren(...rows);
};

const words = (moved) => {
  if (!shown("moved", moved)) return;
  at("label").textContent = moved.answer;
  const parts = [];
  let done = 0;
  // Offsets count characters as Python does; a JavaScript text counts some as two.
  const letters = Array.from(moved.text);
  const cut = (start, end) => letters.slice(start, end).join("");
  const most = Math.max(...moved.marked.map((one) => one.share));
  for (const one of moved.marked) {
    parts.push(cut(done, one.start));
    const mark = made("mark", cut(one.start, one.end));
    mark.style.setProperty("--weight", most ? (one.share / most) ** 2 : 0);  // squared: shares lie close together
    parts.push(mark);
    done = one.end;
  }
  parts.push(cut(done));
  at("text").replaceChildren(...parts);
  const top = [...moved.marked].sort((a, b) => b.share - a.share).slice(0, 3).map((one) => one.word);
  at("most").textContent = `Most of all: ${top.join(", ")}.`;
};

const show = (reply) => {
  at("answer").textContent = reply.answer ?? `No answer: ${reply.why}`;
  const marks = [];
  if (reply.confidence !== null) marks.push(`confidence ${percent(reply.confidence)}`);
  if (reply.supported !== null) marks.push(`its explanation ${reply.supported ? "argues" : "does not argue"} for it`);
  if (reply.escalated) marks.push("answered by the teacher");
  if (reply.answer === null && reply.raw) marks.push(`the student wrote: ${reply.raw}`);
  marks.push(`${Math.round(reply.ms)} ms`);
  at("marks").replaceChildren(...marks.map((text) => made("span", text)));
  if (shown("explained", reply.explanation)) {
    at("explanation").textContent = reply.explanation + (reply.explanation_cut ? " …" : "");
  }
  probabilities(reply);
  words(reply.words);
  at("json").textContent = JSON.stringify(reply, null, 2);
  shown("reply", true);
  at("state").textContent = "";
  at("reply").focus({ preventScroll: true });
  at("reply").scrollIntoView({ block: "nearest" });
};

const fail = (text) => {
  at("problem").textContent = text;
  shown("problem", true);
  at("state").textContent = "";
};

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (button.getAttribute("aria-disabled")) return;
  button.setAttribute("aria-disabled", "true");
  shown("problem", false);
  shown("reply", false);
  at("state").textContent = "The student is answering.";
  const headers = { "content-type": "application/json" };
  if (at("key")) headers.authorization = `Bearer ${at("key").value.trim()}`;
  try {
    const response = await fetch("v1/answer", { method: "POST", headers, body: JSON.stringify(body()) });
    const reply = await response.json();
    if (response.ok) show(reply);
    else fail(reply.error.message);
  } catch {
    fail("The server cannot be reached. Is it running?");
  } finally {
    button.removeAttribute("aria-disabled");
  }
});

// Ctrl-Enter asks from within a text.
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
