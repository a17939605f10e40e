// The pages work without this. With it: numbers answer a statement and go to the next, Enter goes on, a button is pressed once.
"use strict";
document.documentElement.classList.add("js");

const form = document.getElementById("rate");
if (form) {
  const asks = [...form.querySelectorAll("fieldset")];
  const answered = (ask) => ask.querySelector("input:checked");
  const open = () => asks.find((ask) => !answered(ask));
  let current = null;

  const turn = (ask) => {
    current?.classList.remove("current");
    current = ask ?? null;
    current?.classList.add("current");
  };
  const focus = (ask) => {
    const input = answered(ask) ?? ask.querySelector("input");
    input.focus({ preventScroll: true });
    const box = ask.getBoundingClientRect();
    if (box.top < 0 || box.bottom > window.innerHeight) ask.scrollIntoView({ block: "center" });
  };

  turn(open());
  asks.forEach((ask) => {
    ask.addEventListener("focusin", () => turn(ask));
    ask.addEventListener("change", () => turn(open() ?? ask));
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("textarea, input[type=text]")) return;
    if (event.key >= "1" && event.key <= "9" && current) {
      const input = current.querySelectorAll("input")[Number(event.key) - 1];
      if (!input) return;
      event.preventDefault();
      input.checked = true;
      const next = open();
      if (next) focus(next);
      else { turn(current); form.querySelector("button").focus({ preventScroll: true }); }
    } else if (event.key === "Enter" && !event.target.matches("a, button")) {
      event.preventDefault();
      const next = open();
      if (next) focus(next);
      else form.requestSubmit();
    }
  });
}

// A form is sent once; when the next page does not come (a lost connection, the browser's stop), it can be sent again.
const free = (sent) => {
  delete sent.dataset.sent;
  sent.querySelector("button[type=submit]")?.removeAttribute("aria-disabled");
};
document.querySelectorAll("form[method=post]").forEach((sent) => {
  sent.addEventListener("submit", (event) => {
    if (sent.dataset.sent) { event.preventDefault(); return; }
    sent.dataset.sent = "yes";
    sent.querySelector("button[type=submit]")?.setAttribute("aria-disabled", "true");
    setTimeout(free, 4000, sent);
  });
});
window.addEventListener("pageshow", () => document.querySelectorAll("form").forEach(free));

// A page that could not be kept is sent again; a GET form too, which asks for the same page.
document.querySelectorAll("form[data-again]").forEach((waiting) => {
  setTimeout(() => waiting.requestSubmit(), Number(waiting.dataset.again) * 1000);
});

const copy = document.getElementById("copy");
if (copy && navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById("link").href);
    copy.textContent = copy.dataset.done;
  });
}
