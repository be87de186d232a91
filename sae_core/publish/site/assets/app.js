// Which view the address asks for, the keys that work everywhere, the theme's switch.
"use strict";
(() => {
  const root = document.getElementById("view"), report = document.getElementById("report"), { about } = lab.list;
  const places = new Map(), name = document.title;
  let turn = 0, opened = null, started = false, going = false;

  // A sheet that a script makes is not a style in the page, which its policy forbids.
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(about.domains.map(({ light, dark }, nth) => `.d${nth} { --own: ${light}; } [data-theme="dark"] .d${nth} { --own: ${dark}; }`).join("\n"));
  document.adoptedStyleSheets = [sheet];

  /** Go to an address of this page; `quiet` draws nothing, for a view that has drawn itself. */
  lab.go = (hash, quiet = false) => {
    if (quiet) {
      history.pushState(null, "", hash);
      marked("gallery");
    } else if (location.hash === hash) {
      route(false);
    } else {
      going = true;
      location.hash = hash;
    }
  };
  /** The same without a step in the history. */
  lab.replace = (hash) => {
    history.replaceState(null, "", hash);
    lab.gallery.last = hash;
  };
  lab.open = (id) => lab.go(`#/latent/${id}`);

  function marked(view) {
    for (const link of document.querySelectorAll(".views a")) {
      if (link.dataset.view === view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (view === "gallery") lab.gallery.last = location.hash || "#/gallery";
  }

  async function route(back) {
    const hash = location.hash, mine = ++turn, still = () => mine === turn;
    const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
    const [view = "", rest = ""] = path.split("/");
    const known = ["latent", "maps"].includes(view);
    // What begins with no slash is a place in the report: its contents link to them.
    const inReport = view === "report" || (hash !== "" && !hash.startsWith("#/"));
    report.hidden = !inReport;
    root.hidden = inReport;
    document.documentElement.classList.add("ready");
    const titles = { latent: `Latent ${rest}`, maps: "Maps", gallery: "Gallery" };
    document.title = `${inReport ? "Report" : titles[known ? view : "gallery"]}: ${name}`;
    marked(inReport ? "report" : known ? view : "gallery");
    try {
      if (view === "latent") await lab.card.show(root, /^\d{1,9}$/.test(rest) ? Number(rest) : -1, still);
      else if (view === "maps") lab.maps.show(root, rest, query);
      else if (!inReport) lab.gallery.show(root, query);
    } catch (error) {
      root.replaceChildren(lab.el("h1", { tabindex: "-1", text: "This cannot be shown" }), lab.el("p", { text: error.message }));
    }
    if (!still()) return;
    arrived(inReport ? report : root, hash, inReport, back);
    if (view === "latent") opened = rest;
  }

  function arrived(where, hash, inReport, back) {
    const anchor = inReport && !hash.startsWith("#/") ? document.getElementById(hash.slice(1)) : null;
    if (anchor) {
      anchor.scrollIntoView();
      return;
    }
    const returned = !inReport && opened !== null && back && hash.startsWith("#/gallery") && lab.gallery.returned(opened);
    // The first view of a visit takes the focus from nobody.
    if (!returned && started) where.querySelector("h1")?.focus({ preventScroll: true });
    scrollTo({ top: back ? (places.get(hash) ?? 0) : 0, behavior: "instant" });
  }

  history.scrollRestoration = "manual";
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='#']"), elsewhere = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
    if (link && !elsewhere && link.hash !== location.hash) going = true;
  });
  addEventListener("scroll", () => places.set(location.hash, scrollY), { passive: true });
  addEventListener("hashchange", () => {
    const back = !going;
    going = false;
    route(back);
  });
  lab.onTheme(() => {
    if (location.hash.startsWith("#/maps")) route(true);
    switched();
  });

  const button = document.getElementById("theme");
  function switched() {
    button.setAttribute("aria-label", `Switch to the ${lab.isDark() ? "light" : "dark"} theme`);
  }
  button.addEventListener("click", () => lab.setTheme(lab.isDark() ? "light" : "dark", true));
  switched();

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, select, textarea, [role=application]");
    if (typing || event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented) return;
    const onCard = location.hash.startsWith("#/latent/");
    if (event.key === "/" && document.getElementById("q")) {
      event.preventDefault();
      document.getElementById("q").focus();
    } else if (onCard && event.key === "ArrowLeft") document.getElementById("before")?.click();
    else if (onCard && event.key === "ArrowRight") document.getElementById("after")?.click();
    else if (event.key === "r") lab.card.surprise();
  });
  addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("details")) one.open = true; });
  route(true).then(() => { started = true; });
})();
