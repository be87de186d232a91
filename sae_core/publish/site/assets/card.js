// The card of one latent.
"use strict";
lab.card = (() => {
  const { el, svg } = lab, { about, columns, latents } = lab.list;
  const alive = latents.filter((id) => columns.group[id] !== "dead");

  async function show(root, id, still) {
    if (!(Number.isInteger(id) && id >= 0 && id < about.latents)) {
      root.replaceChildren(el("h1", { tabindex: "-1", text: "No such latent" }),
        el("p", {}, `This dictionary has latents 0 to ${about.latents - 1}. `, el("a", { href: "#/gallery", text: "To the gallery" }), "."));
      return;
    }
    const shard = `cards-${String(Math.floor(id / about.shard)).padStart(3, "0")}`;
    const [cards, pictures] = await Promise.all([lab.load(shard), lab.load("pictures")]);
    if (!still()) return;
    const card = cards[id];
    root.replaceChildren(...lab.some([heading(id, card), columns.group[id] === "dead"
      ? [el("p", { class: "note", text: `It never fires on any of ${lab.count(about.images, "image")}, so there is nothing to show but its direction.` }), relations(id, card)]
      : [tops(id, card, pictures), bands(card, pictures), histograms(card), el("div", { class: "sides" }, classes(card), strokes(card)), relations(id, card)]]));
  }

  function heading(id, card) {
    const order = lab.gallery.order ?? alive, at = order.indexOf(id);
    const to = (step) => (at < 0 ? (id + step + about.latents) % about.latents : order[(at + step + order.length) % order.length]);
    const copy = el("button", { type: "button", class: "plain", text: "Copy link", on: { click: () => copied(copy) } });
    const name = card.name;
    const facts = [`fires on ${lab.percent(columns.rate[id])} of ${lab.count(about.images, "image")}`, `largest activation ${lab.number(columns.max[id])}`, `mean where it fires ${lab.number(card.mean)}`];
    return el("header", { class: "card-head" },
      el("nav", { class: "steps", "aria-label": "Latents" },
        el("a", { href: `#/latent/${to(-1)}`, id: "before", rel: "prev", text: "Previous" }),
        el("a", { href: `#/latent/${to(1)}`, id: "after", rel: "next", text: "Next" }),
        el("button", { type: "button", class: "plain", id: "surprise", text: "Surprise me", on: { click: surprise } }), copy,
        lab.gallery.last ? el("a", { href: lab.gallery.last, text: "Back to the list" }) : null),
      el("h1", { tabindex: "-1" }, name?.label ?? `Latent ${id}`, name?.label ? el("span", { class: "soft", text: ` latent ${id}` }) : null),
      columns.group[id] === "dead" ? null : el("p", { class: "lead", text: `${facts.join("; ")}.` }),
      nameOf(name), verdicts(card));
  }

  function nameOf(name) {
    if (!name) return about.score ? null : el("p", { class: "soft", text: "No latent of this run has been named." });
    const [word, meaning] = about.statuses[name.status] ?? [name.status, ""];
    const chip = el("span", { class: `chip ${name.status === "ok" ? "good" : ""}`, text: word });
    const tried = name.label || !name.candidate ? null : ` Tried: “${name.candidate}”.`;
    const score = name.score === undefined ? null : el("span", { class: "score", text: ` ${about.score[0]} ${lab.between(name.score, name.ci_low, name.ci_high)}` });
    const rows = [
      ["Status", meaning], ["Why", name.reason], ["What the score is", about.score?.[1]],
      ["Explanation", name.explanation], ["Against it", name.counterevidence],
      ["Against near misses (AUROC)", has(name.near_miss_auroc, lab.fixed)], ["p, labels dealt out anew", has(name.p, lab.pValue)],
      ["Lead over another latent's name", has(name.swap_gap, lab.fixed)],
      ["Of the 10 images nearest to the name, fire it", has(name.retrieval, lab.percent)],
      ["Tested on", name.positives === undefined ? null : `${lab.count(name.positives, "image")} that fire it, ${lab.count(name.negatives)} that do not`],
      ["Next words", (name.others ?? []).join(", ")], ["Model", name.model_served], ["Bear in mind", about.circularity],
    ].filter(([, said]) => said);
    return el("div", { class: "naming" }, el("p", {}, chip, score, tried),
      el("details", {}, el("summary", { text: "How the name was tested" }), el("dl", {}, rows.map(([term, said]) => [el("dt", { text: term }), el("dd", { text: said })]))));
  }

  const has = (value, form) => (value === undefined ? null : form(value));

  function verdicts(card) {
    if (!card.verdicts.length) return null;
    return el("ul", { class: "verdicts" }, card.verdicts.map(([domain, verdict, measure, rho]) => el("li", {}, el("strong", { text: about.domains[domain].name }), ": ",
      el("span", { class: `chip v-${verdict}`, text: verdict }), measure && rho !== null ? ` follows ${measure.replaceAll("_", " ")} most (ρ ${lab.fixed(rho)})` : "")));
  }

  /** A picture cut from its sheet, or what it is in words where pictures are not shown. */
  function picture([domain, nth, value, copies], pictures) {
    const own = pictures[domain], what = own.words[own.what[nth]];
    const said = [value === undefined ? null : lab.number(value), copies > 1 ? `×${copies}` : null].filter(Boolean).join(" ");
    const caption = el("figcaption", {}, said ? el("span", { class: "value", text: said }) : null, el("span", { class: "what", text: what, title: what }));
    if (!own.shown) return el("figure", { class: "picture" }, el("div", { class: "blank", text: what }), caption);
    const { side, across } = own, sheet = Math.floor(nth / across ** 2), at = nth % across ** 2;
    const file = `pictures/${domain}-${String(sheet).padStart(3, "0")}.webp`;
    const rows = Math.min(across, Math.ceil((own.what.length - sheet * across ** 2) / across));
    const cut = svg("svg", { viewBox: `${(at % across) * side} ${Math.floor(at / across) * side} ${side} ${side}`, role: "img", "aria-label": `${what}, ${about.domains[domain].name}`, class: `d${domain} ${side < 48 ? "crisp" : ""}` },
      svg("image", { href: file, width: across * side, height: rows * side }));
    return el("figure", { class: "picture" }, cut, caption);
  }

  function section(title, ...parts) {
    return el("section", {}, el("h2", { text: title }), ...parts);
  }

  function tops(id, card, pictures) {
    const sides = about.domains.map((domain, nth) => {
      const [fires, rate] = card.domains[nth];
      const strip = card.top[nth].length
        ? el("div", { class: "strip" }, card.top[nth].map((one) => picture(one, pictures)))
        : el("p", { class: "soft", text: "It fires on none of them." });
      return el("div", { class: "side" }, el("h3", {}, el("span", { class: `dot d${nth}`, "aria-hidden": "true" }), domain.name,
        el("span", { class: "soft", text: ` ${lab.count(fires)} of ${lab.count(domain.images)}, ${lab.percent(rate)}` })), strip);
    });
    return section("Strongest images", el("div", { class: "sides" }, sides));
  }

  function bands(card, pictures) {
    const names = ["strongest fifth", "second", "third", "fourth", "weakest fifth"];
    const row = (title, band) => el("div", { class: "band" }, el("h3", { text: title }),
      el("div", { class: "strip" }, band.length ? band.map((one) => picture(one, pictures)) : el("span", { class: "soft", text: "too few images" })));
    const rows = [...card.bands.map((band, nth) => row(names[nth], band)), row("silent", card.silent)];
    return section("From strong to silent", el("p", { class: "soft", text: "Images drawn at random from each fifth of those that it fires on, and from those that it does not." }), el("div", { class: "bands" }, rows));
  }

  function histograms(card) {
    const { most, counts } = card.histogram, tallest = Math.max(1, ...counts.flat());
    const drawn = about.domains.map((domain, nth) => el("figure", { class: "side" },
      lab.plots.histogram(counts[nth], most, tallest, `d${nth}`, `Histogram of activations on ${domain.name}: ${lab.count(card.domains[nth][0], "image")} from above 0 to ${lab.number(card.domains[nth][2])}.`),
      el("figcaption", {}, el("span", { class: `dot d${nth}`, "aria-hidden": "true" }), `${domain.name}: images (logarithmic) by activation`)));
    const step = most / counts[0].length;
    const rows = counts[0].map((_, bin) => [`${lab.number(bin * step)} to ${lab.number((bin + 1) * step)}`, ...counts.map((one) => lab.count(one[bin]))])
      .filter((row) => row.slice(1).some((cell) => cell !== "0"));
    return section("How strongly it fires", el("div", { class: "sides" }, drawn),
      folded("As a table", () => lab.table("Images by activation", ["activation", ...about.domains.map((one) => one.name)], rows)));
  }

  /** Content that is made when it is opened. */
  function folded(title, make) {
    const box = el("details", { on: { toggle: () => { if (box.open && box.children.length === 1) box.append(make()); } } }, el("summary", { text: title }));
    return box;
  }

  function classes(card) {
    if (!card.classes.length) return section("Classes", el("p", { class: "soft", text: "These images have no classes." }));
    const rows = card.classes.map(([domain, name, n, fires, rate, , lift, high, p]) => [name, about.domains[domain].name,
      `${lab.count(fires)} of ${lab.count(n)}`, lab.percent(rate), `${lab.number(lift, 2)}×`, high === null ? "–" : `${lab.number(high, 2)}×`, lab.pValue(p)]);
    return section("Classes", lab.table(`Where it fires more than elsewhere, most significant first; chance is what ${lab.count(card.permutations)} random deals of the labels reach`,
      ["class", "domain", "fires on", "rate", "lift", "chance at 5 %", "p"], rows, 2));
  }

  function strokes(card) {
    if (!card.measures.length) return null;
    const rows = card.measures.map(([domain, measure, rho, p]) => [measure.replaceAll("_", " "), about.domains[domain].name, lab.fixed(rho), lab.pValue(p)]);
    return section("Strokes it follows", lab.table("Rank correlation with stroke measures within classes, largest first", ["measure", "domain", "ρ", "p"], rows, 2));
  }

  function relations(id, card) {
    const row = ([other, value], form) => el("li", {}, el("a", { href: `#/latent/${other}`, class: "mini" },
      columns.picture[other] ? el("img", { src: lab.list.file(other), alt: "", width: 56, height: 56, loading: "lazy" }) : null,
      el("span", {}, el("strong", { text: lab.list.label(other) ?? `latent ${other}` }), el("span", { class: "soft", text: form(value) }))));
    const lists = [
      ["Nearest directions", "cosine of decoder rows", card.near.map((one) => row(one, (value) => `cosine ${lab.fixed(value)}`))],
      ["Fire together", "Jaccard index of the images", card.together.map(([other, both, jaccard]) => row([other, jaccard], (value) => `Jaccard ${lab.fixed(value)}, ${lab.count(both, "image")}`))],
    ].filter(([, , rows]) => rows.length);
    return section("Related latents", el("div", { class: "sides" }, lists.map(([title, told, rows]) =>
      el("div", { class: "side" }, el("h3", {}, title, el("span", { class: "soft", text: ` ${told}` })), el("ul", { class: "minis" }, rows)))));
  }

  function surprise() {
    if (alive.length) lab.open(alive[Math.floor(Math.random() * alive.length)]);
  }

  async function copied(button) {
    try {
      await navigator.clipboard.writeText(location.href);
      button.textContent = "Copied";
    } catch {
      // Below file: or in a frame a page may not write there: the link is shown to be copied by hand.
      const box = el("input", { type: "text", readonly: true, class: "link", "aria-label": "Link to this latent" });
      box.value = location.href;
      button.replaceWith(box);
      box.select();
    }
    lab.say("Link copied or selected");
  }

  return { show, surprise };
})();
