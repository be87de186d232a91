// What every view uses: elements, data files, numbers in words, the theme. Text of the data reaches the page as text only.
"use strict";
const lab = (() => {
  const held = new Map(), waiting = new Map();

  /** A data file calls this with what it holds. */
  function receive(name, value) {
    held.set(name, value);
  }

  /** What a data file holds, loaded once. A page from a disk may not read a file, but it may run a script. */
  function load(name) {
    if (held.has(name)) return Promise.resolve(held.get(name));
    if (!waiting.has(name)) {
      waiting.set(name, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = `data/${name}.js`;
        const failed = () => {
          waiting.delete(name);
          script.remove();
          reject(new Error(`data/${name}.js cannot be read; the site is not complete, copy its whole folder again`));
        };
        script.onerror = failed;
        script.onload = () => (held.has(name) ? resolve(held.get(name)) : failed());
        document.head.append(script);
      }));
    }
    return waiting.get(name);
  }

  /** Children without those that are not there. */
  const some = (children) => children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== "");

  /** An element. `attributes` are set as given (`on` holds listeners, `text` its text); children are elements or text. */
  function el(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "on") for (const [event, act] of Object.entries(value)) made.addEventListener(event, act);
      else if (name === "text") made.textContent = value;
      else made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...some(children));
    return made;
  }

  /** The same for SVG. */
  function svg(tag, attributes = {}, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== null && value !== undefined) made.setAttribute(name, value);
    made.append(...some(children));
    return made;
  }

  /** A share in percent with two significant digits. */
  function percent(share) {
    if (share === null || share === undefined) return "–";
    if (share <= 0) return "0 %";
    const hundred = 100 * share;
    return `${hundred >= 9.95 ? Math.round(hundred) : Number(hundred.toPrecision(2))} %`;
  }

  function number(value, digits = 3) {
    return value === null || value === undefined ? "–" : Number(value.toPrecision(digits)).toString();
  }

  function fixed(value, digits = 2) {
    return value === null || value === undefined ? "–" : value.toFixed(digits);
  }

  function count(value, one, many = `${one}s`) {
    const told = value.toLocaleString("en-GB");
    return one ? `${told} ${value === 1 ? one : many}` : told;
  }

  /** A value with its interval. */
  function between(value, low, high, digits = 2) {
    if (value === null || value === undefined) return "–";
    const known = low !== null && low !== undefined && high !== null && high !== undefined;
    return known ? `${fixed(value, digits)} [${fixed(low, digits)}, ${fixed(high, digits)}]` : fixed(value, digits);
  }

  function pValue(p) {
    return p === null || p === undefined ? "–" : p < 1e-4 ? "< 0.0001" : number(p, 2);
  }

  /** Tells a screen reader what changed. */
  function say(text) {
    document.getElementById("said").textContent = text;
  }

  /** A table; a row begins with its heading. Cells are text, numbers or elements. */
  function table(caption, heads, rows, words = 1) {
    const kind = (nth) => (nth < words ? null : "n");
    return el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": caption },
      el("table", {}, el("caption", { text: caption }),
        el("thead", {}, el("tr", {}, heads.map((head, nth) => el("th", { scope: "col", class: kind(nth), text: head })))),
        el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, nth) =>
          el(nth ? "td" : "th", { scope: nth ? null : "row", class: kind(nth) }, cell instanceof Node ? cell : String(cell))))))));
  }

  function choice(label, id, options, chosen, act) {
    const select = el("select", { id, on: { change: () => act(select.value) } },
      options.map(([value, text]) => el("option", { value, text })));
    select.value = chosen;
    return el("div", { class: "field" }, el("label", { for: id, text: label }), select);
  }

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const listeners = [];

  // Storage can be refused, in a private window or a sandboxed frame; the theme is then the system's.
  function stored(value) {
    try {
      if (value === undefined) return localStorage.getItem("sae-site-theme");
      return localStorage.setItem("sae-site-theme", value);
    } catch {
      return null;
    }
  }

  const isDark = () => document.documentElement.dataset.theme === "dark";

  function setTheme(name, keep) {
    document.documentElement.dataset.theme = name;
    if (keep) stored(name);
    listeners.forEach((act) => act());
  }

  dark.addEventListener("change", () => {
    if (!stored()) setTheme(dark.matches ? "dark" : "light");
  });
  // Set before anything is drawn, so that a dark page does not flash white.
  setTheme(["light", "dark"].includes(stored()) ? stored() : dark.matches ? "dark" : "light");

  document.documentElement.classList.add("scripted");
  // A file of the site that is not there: its event does not bubble, so it is caught on its way down.
  addEventListener("error", (event) => {
    const missing = event.target instanceof HTMLScriptElement && event.target.getAttribute("src");
    const view = document.getElementById("view");
    if (!missing || !view || document.documentElement.classList.contains("ready")) return;
    view.replaceChildren(el("h1", { text: "This site is not complete" }), el("p", { text: `${missing} cannot be read; copy its whole folder again.` }));
  }, true);

  return {
    held, receive, load, el, svg, some, percent, number, fixed, count, between, pValue, say, table, choice, isDark, setTheme,
    onTheme: (act) => listeners.push(act),
  };
})();
