// The gallery: every latent as a small picture, searched, filtered, sorted, by page.
"use strict";
lab.gallery = (() => {
  const { el } = lab, { about, columns } = lab.list;
  const PAGE = 48;
  let state, place, last = null;

  function show(root, query) {
    state = lab.list.read(query);
    const found = el("div", { id: "found" });
    root.replaceChildren(
      el("h1", { tabindex: "-1", text: "Latents" }),
      intro(),
      el("form", { role: "search", class: "bar", on: { submit: (event) => event.preventDefault() } }, search(), sort(), filters()),
      el("div", { id: "groups", role: "group", "aria-label": "Where it fires", class: "tabs" }),
      found);
    place = found;
    list();
  }

  function intro() {
    const domains = about.domains.map((domain) => `${lab.count(domain.images)} ${domain.name}`).join(" and ");
    const said = `${lab.count(about.latents, "latent")} of a sparse autoencoder on CLIP embeddings, ${lab.count(about.alive)} of ` +
      `which fire on ${domains} images. Each square shows the four images that a latent fires on most.`;
    const withheld = about.domains.filter((domain) => domain.withheld).map((domain) => domain.name);
    return el("div", {}, el("p", { class: "lead", text: said }), withheld.length
      ? el("p", { class: "note", text: `Pictures of ${withheld.join(" and ")} are not part of this site: nobody has said that they may be published.` })
      : null);
  }

  function changed(name, value) {
    state = { ...state, [name]: value, page: name === "page" ? value : "1" };
    const told = lab.list.write(state);
    const hash = `#/gallery${told ? `?${told}` : ""}`;
    // A page is a step back in the history; a letter typed is not.
    if (name === "page" || name === "group") lab.go(hash, true);
    else lab.replace(hash);
    list();
  }

  function search() {
    const box = el("input", {
      type: "search", id: "q", placeholder: "name, class or number", autocomplete: "off", "aria-describedby": "q-help",
      on: { input: () => changed("q", box.value) },
    });
    box.value = state.q;
    return el("div", { class: "field grow" }, el("label", { for: "q", text: "Search" }), box,
      el("span", { id: "q-help", class: "unseen", text: "Words in a name or class, or the number of a latent" }));
  }

  const sort = () => lab.choice("Sort by", "sort", lab.list.SORTS.map(([name, text]) => [name, text]), state.sort, (value) => changed("sort", value));

  function filters() {
    const rows = [percentBox("Fires on at least, %", "low"), percentBox("at most, %", "high")];
    const any = (options) => [["", "any"], ...options.map((one) => [one, one])];
    if (lab.list.verdictsOf.length) rows.push(lab.choice("Verdict", "verdict", any(lab.list.present(lab.list.verdictsOf)), state.verdict, (v) => changed("verdict", v)));
    if (columns.status) {
      const options = lab.list.present([columns.status]).map((one) => [one, about.statuses[one]?.[0] ?? one]);
      rows.push(lab.choice("Name", "status", [["", "any"], ...options], state.status, (v) => changed("status", v)));
      rows.push(box(`${about.score[0]} at least`, "score", { min: 0, max: 1, step: 0.05 }));
    }
    if (columns.class) rows.push(lab.choice("Class", "cls", any(lab.list.present([columns.class])), state.cls, (v) => changed("cls", v)));
    const clear = el("button", { type: "button", class: "plain", text: "Clear all", on: { click: () => { lab.go("#/gallery"); } } });
    const used = ["low", "high", "verdict", "status", "cls", "score"].some((name) => state[name] !== "");
    return el("details", { class: "filters", open: used || matchMedia("(min-width: 900px)").matches },
      el("summary", { text: "Filters" }), el("div", { class: "fields" }, rows, clear));
  }

  const percentBox = (label, name) => box(label, name, { min: 0, max: 100, step: "any" });

  function box(label, name, limits) {
    const input = el("input", { type: "number", id: name, inputmode: "decimal", ...limits,
      on: { input: () => changed(name, input.validity.valid ? input.value : "") } });
    input.value = state[name];
    return el("div", { class: "field small" }, el("label", { for: name, text: label }), input);
  }

  function tabs() {
    const open = lab.list.passing(state, true);
    const buttons = lab.list.groups.map((group) => {
      const size = open.filter((id) => lab.list.inGroup(id, group)).length;
      return el("button", { type: "button", "aria-pressed": String(group === state.group), on: { click: () => { changed("group", group); document.querySelector('#groups [aria-pressed="true"]').focus(); } } },
        group, el("span", { class: "soft", text: ` ${lab.count(size)}` }));
    });
    document.getElementById("groups").replaceChildren(...buttons);
  }

  function list() {
    tabs();
    const ids = lab.list.sorted(lab.list.passing(state), state.sort);
    const pages = Math.max(1, Math.ceil(ids.length / PAGE)), page = Math.min(Number(state.page) | 0 || 1, pages);
    const shown = ids.slice((page - 1) * PAGE, page * PAGE);
    const told = ids.length ? `${lab.count(ids.length, "latent")}${pages > 1 ? `, page ${page} of ${pages}` : ""}` : "No latent passes.";
    const grid = el("ul", { class: "grid", id: "grid", on: { keydown: arrows } }, shown.map(tile));
    place.replaceChildren(el("h2", { class: "told", text: told }),
      ids.length ? grid : el("p", {}, "Loosen a filter, or ", el("a", { href: "#/gallery", text: "start again" }), "."), pager(page, pages));
    lab.gallery.order = ids;
    lab.say(told);
  }

  function tile(id) {
    const name = lab.list.label(id), group = columns.group[id];
    const domain = about.domains.findIndex((one) => group === `${one.name} only`);
    const picture = columns.picture[id]
      ? el("img", { src: lab.list.file(id), alt: "", width: 130, height: 130, loading: "lazy", decoding: "async" })
      : el("span", { class: "blank", text: columns.class?.[id] ?? (group === "dead" ? "never fires" : "no picture") });
    const facts = [group === "dead" ? "dead" : `fires on ${lab.percent(columns.rate[id])}`];
    if (columns.score?.[id] != null && name) facts.push(`${about.method === "vision" ? "score" : "AUROC"} ${lab.fixed(columns.score[id])}`);
    return el("li", {}, el("a", { href: `#/latent/${id}`, class: "tile", "data-latent": id }, picture,
      el("span", { class: name ? "name" : "name none" }, name ?? `latent ${id}`),
      el("span", { class: "facts" }, domain >= 0 ? el("span", { class: `dot d${domain}`, "aria-hidden": "true" }) : null, (name ? `${id} · ` : "") + facts.join(" · "))));
  }

  function pager(page, pages) {
    if (pages < 2) return "";
    const button = (text, to, name) => el("button", { type: "button", id: name, disabled: to < 1 || to > pages,
      on: { click: () => { changed("page", String(to)); document.querySelector(".told").scrollIntoView({ block: "start" }); focusFirst(); } }, text });
    return el("nav", { class: "pager", "aria-label": "Pages" }, button("Previous page", page - 1, "page-before"),
      el("span", { text: `${page} / ${pages}` }), button("Next page", page + 1, "page-after"));
  }

  const tiles = () => [...place.querySelectorAll(".tile")];

  function focusFirst() {
    tiles()[0]?.focus({ preventScroll: true });
  }

  /** Arrows move between the tiles as they lie on the screen; Home and End go to the first and the last. */
  function arrows(event) {
    const all = tiles(), at = all.indexOf(document.activeElement);
    if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const across = all.filter((one) => one.offsetTop === all[0].offsetTop).length;
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + across, ArrowUp: at - across, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    all[Math.max(0, Math.min(all.length - 1, to))].focus();
  }

  /** The tile of the latent that was opened from here. */
  function returned(id) {
    const tile = place.querySelector(`[data-latent="${Number(id)}"]`);
    tile?.focus({ preventScroll: true });
    return Boolean(tile);
  }

  return { show, returned, order: null, last };
})();
