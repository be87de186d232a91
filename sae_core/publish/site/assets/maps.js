// Latents as points: where they fire, which way their directions point, what they follow.
"use strict";
lab.maps = (() => {
  const { el } = lab, { about, columns, latents, shifts } = lab.list;
  const GREY = ["#9ca3af", "#6b7280"], VIOLET = ["#7c3aed", "#8b5cf6"];
  const PALETTE = [["#7c3aed", "#8b5cf6"], ["#0d9488", "#14b8a6"], ["#d1722e", "#d97b3a"], ["#1b6ca8", "#3f8fd0"], ["#db2777", "#ec4899"],
    ["#65a30d", "#84cc16"], ["#b45309", "#d97706"], ["#dc2626", "#ef4444"], ["#a21caf", "#e879f9"], ["#0891b2", "#22d3ee"]];
  const RISING = ["#5b6ee1", "#c9509f", "#f0a030"];
  const shade = ([light, dark]) => (lab.isDark() ? dark : light);
  const judged = about.domains.map((_, nth) => nth).filter((nth) => columns[`d${nth}.verdict`]);
  const kinds = [
    about.domains.length > 1 && shifts.length ? ["shift", "Domain shift"] : null,
    columns.x ? ["directions", "Directions"] : null,
    judged.length ? ["geometry", "Strokes or things"] : null,
  ].filter(Boolean);

  const COLOURS = [
    ["group", "domain it fires on", "group"], ["class", "its class", "class"], ["status", "status of its name", "status"],
    ...judged.map((nth) => [`verdict${nth}`, `verdict on ${about.domains[nth].name}`, `d${nth}.verdict`]),
    ["rate", "firing rate", "rate"], ["max", "largest activation", "max"], ["score", "score of its name", "score"],
    ["lift", "lift of its class", "class_lift"], ["steering", "steering", "steering"],
  ].filter(([, , column]) => columns[column]?.some((one) => one !== null));

  function show(root, kind, query) {
    if (!kinds.length) {
      root.replaceChildren(el("h1", { tabindex: "-1", text: "Maps" }), el("p", { text: "This run has one domain, no map of directions and no verdicts, so there is nothing to map." }));
      return;
    }
    const given = new URLSearchParams(query), chosen = kinds.some(([name]) => name === kind) ? kind : kinds[0][0];
    const fallback = { shift: "group", directions: judged.length ? `verdict${judged[0]}` : columns.class ? "class" : "group", geometry: "" }[chosen];
    const colour = COLOURS.some(([name]) => name === given.get("colour")) ? given.get("colour") : fallback;
    const tabs = el("nav", { class: "tabs", "aria-label": "Maps" }, kinds.map(([name, text]) =>
      el("a", { href: `#/maps/${name}`, "aria-current": name === chosen ? "page" : null, text })));
    const to = (changes) => {
      const told = new URLSearchParams(given);
      for (const [name, value] of Object.entries(changes)) told.set(name, value);
      lab.go(`#/maps/${chosen}?${told}`);
    };
    const place = el("div", { id: "map" });
    const draw = { shift, directions, geometry }[chosen];
    root.replaceChildren(el("h1", { tabindex: "-1", text: "Maps" }), tabs, place);
    place.replaceChildren(...lab.some(draw(given, colour, to)));
  }

  const picker = (colour, to) => lab.choice("Coloured by", "colour", COLOURS.map(([name, text]) => [name, text]), colour, (value) => to({ colour: value }));

  /** By latent its colour and shape, and what stands in the legend. */
  function colouring(name, ids) {
    const [, title, column] = COLOURS.find(([one]) => one === name), values = columns[column];
    if (ids.some((id) => typeof values[id] === "number")) return numeric(values, ids, title);
    const counts = new Map();
    for (const id of ids) counts.set(values[id] ?? "none", (counts.get(values[id] ?? "none") ?? 0) + 1);
    const frequent = [...counts].filter(([one]) => one !== "none").sort((a, b) => b[1] - a[1] || String(a[0]).localeCompare(String(b[0]), "en")).slice(0, PALETTE.length);
    const looks = new Map(frequent.map(([one], nth) => [one, known(one) ?? { colour: shade(PALETTE[nth]), shape: "circle" }]));
    const other = { colour: shade(GREY), shape: "circle" };
    const rest = ids.filter((id) => !looks.has(values[id])).length;
    const legend = [...frequent.map(([one, n]) => [looks.get(one), `${about.statuses[one]?.[0] ?? one} (${lab.count(n)})`]), ...(rest ? [[other, `other or none (${lab.count(rest)})`]] : [])];
    return { of: (id) => looks.get(values[id]) ?? other, told: (id) => `${title}: ${about.statuses[values[id]]?.[0] ?? values[id] ?? "none"}`, legend, order: (id) => -(counts.get(values[id] ?? "none") ?? 0) };
  }

  /** What has one meaning everywhere keeps its colour and gets a shape of its own. */
  function known(value) {
    const nth = about.domains.findIndex((domain) => value === `${domain.name} only`);
    if (nth >= 0) return { colour: lab.isDark() ? about.domains[nth].dark : about.domains[nth].light, shape: nth ? "up" : "right" };
    if (value === "shared") return { colour: shade(VIOLET), shape: "circle" };
    const verdict = new Map([["geometric", "circle"], ["semantic", "diamond"], ["both", "square"]]).get(value);
    if (verdict) return { colour: about.verdicts[value], shape: verdict };
    return ["neither", "untested", "dead"].includes(value) ? { colour: shade(GREY), shape: "circle" } : null;
  }

  function numeric(values, ids, title) {
    const held = ids.map((id) => values[id]).filter((one) => one !== null), low = Math.min(...held), high = Math.max(...held);
    const logs = low > 0 && high / low > 100, scale = logs ? Math.log : (one) => one;
    const share = (one) => (high > low ? (scale(one) - scale(low)) / (scale(high) - scale(low)) : 0.5);
    const grey = { colour: shade(GREY), shape: "circle" };
    const legend = [low, logs ? Math.sqrt(low * high) : (low + high) / 2, high].map((one) => [{ colour: mixed(share(one)), shape: "circle" }, lab.number(one, 2)]);
    if (held.length < ids.length) legend.push([grey, "none"]);
    return { of: (id) => (values[id] === null ? grey : { colour: mixed(share(values[id])), shape: "circle" }), told: (id) => `${title}: ${lab.number(values[id], 3)}`, legend, order: () => 0 };
  }

  function mixed(share) {
    const at = Math.min(0.9999, Math.max(0, share)) * 2, [a, b] = [RISING[Math.floor(at)], RISING[Math.floor(at) + 1]];
    const part = (nth) => Math.round(parseInt(a.slice(nth, nth + 2), 16) * (1 - (at % 1)) + parseInt(b.slice(nth, nth + 2), 16) * (at % 1));
    return `rgb(${part(1)}, ${part(3)}, ${part(5)})`;
  }

  function legend(entries) {
    return el("ul", { class: "legend" }, entries.map(([look, text]) => {
      const mark = lab.svg("svg", { viewBox: "-6 -6 12 12", width: 14, height: 14, "aria-hidden": "true" }, shapeOf(look));
      return el("li", {}, mark, el("span", { text }));
    }));
  }

  function shapeOf({ colour, shape }) {
    const d = { right: "M-4 -4 L4 0 L-4 4 Z", up: "M-4 4 L0 -4 L4 4 Z", diamond: "M0 -5 L5 0 L0 5 L-5 0 Z", square: "M-4 -4 H4 V4 H-4 Z" }[shape];
    const made = d ? lab.svg("path", { d }) : lab.svg("circle", { r: 4 });
    made.style.setProperty("fill", colour);
    return made;
  }

  const title = (id) => (lab.list.label(id) ? `${id} ${lab.list.label(id)}` : `latent ${id}`);

  function drawn(ids, x, y, axes, looks, label, told, marks, sizes) {
    const points = [...ids].sort((a, b) => looks.order(a) - looks.order(b) || a - b)
      .map((id) => ({ id, x: x(id), y: y(id), size: sizes?.(id), ...looks.of(id), picture: columns.picture[id] ? lab.list.file(id) : null, told: () => [title(id), ...told(id)] }));
    return lab.plots.scatter(points, axes, label, marks);
  }

  /** The same in rows, made when it is opened, 200 at a time. */
  function asTable(caption, heads, ids, row) {
    let shown = 200;
    const box = el("details", { class: "as-table" }, el("summary", { text: `As a table (${lab.count(ids.length, "latent")})` }));
    const fill = () => {
      const rows = ids.slice(0, shown).map((id) => [el("a", { href: `#/latent/${id}`, text: title(id) }), ...row(id)]);
      const more = ids.length > shown ? el("button", { type: "button", text: "200 more", on: { click: () => { shown += 200; fill(); } } }) : "";
      box.replaceChildren(box.firstChild, lab.table(caption, ["latent", ...heads], rows), more);
    };
    box.addEventListener("toggle", () => { if (box.open && box.children.length === 1) fill(); });
    return box;
  }

  function shift(given, colour, to) {
    const names = about.domains.map((domain, nth) => [`${nth}`, domain.name]);
    const pair = shifts.find((one) => `${one.a}-${one.b}` === given.get("pair")) ?? shifts[0], { a, b } = pair;
    const ids = latents.filter((id) => columns.group[id] !== "dead"), rate = (nth, id) => columns[`d${nth}.rate`][id];
    const floor = (nth) => Math.log10(0.5 / Math.max(1, about.domains[nth].images));
    const log = (nth, id) => (rate(nth, id) > 0 ? Math.log10(rate(nth, id)) : floor(nth));
    const axis = (nth) => ({ title: `images of ${about.domains[nth].name} it fires on`,
      ticks: [[floor(nth), "never"], ...[-5, -4, -3, -2, -1, 0].filter((one) => one >= floor(nth) + 0.3).map((one) => [one, `${lab.number(100 * 10 ** one)} %`])] });
    const low = Math.max(floor(a), floor(b)), looks = colouring(colour, ids);
    const axes = { x: axis(a), y: axis(b), range: { x: [floor(a) - 0.15, 0.1], y: [floor(b) - 0.15, 0.1] } };
    const label = `Map of ${ids.length} latents by their firing rate on ${names[a][1]}, across, and ${names[b][1]}, up.`;
    const told = (id) => [`${names[a][1]} ${lab.percent(rate(a, id))}, ${names[b][1]} ${lab.percent(rate(b, id))}`, looks.told(id)];
    const order = [...ids].sort((m, n) => pair.log2_ratio[n] - pair.log2_ratio[m]);
    const pairs = shifts.length > 1 ? lab.choice("Domains", "pair", shifts.map((one) => [`${one.a}-${one.b}`, `${names[one.a][1]} and ${names[one.b][1]}`]), `${a}-${b}`, (value) => to({ pair: value })) : null;
    return [
      el("p", { class: "lead", text: "How often each latent fires on one domain, and how often on the other. On the dotted line it fires as often on both." }),
      el("div", { class: "fields" }, pairs, picker(colour, to)),
      drawn(ids, (id) => log(a, id), (id) => log(b, id), axes, looks, label, told, [[low, low, 0, 0]]), legend(looks.legend),
      asTable(`From ${names[a][1]} to ${names[b][1]}: the log2 ratio of the rates, with its 95 % interval`, [names[a][1], names[b][1], "log2 ratio"], order,
        (id) => [lab.percent(rate(a, id)), lab.percent(rate(b, id)), lab.between(pair.log2_ratio[id], pair.low[id], pair.high[id])]),
    ];
  }

  function directions(given, colour, to) {
    const ids = latents.filter((id) => columns.x[id] !== null), looks = colouring(colour, ids);
    const span = (values) => {
      const [low, high] = [Math.min(...ids.map((id) => values[id])), Math.max(...ids.map((id) => values[id]))], room = 0.04 * (high - low || 1);
      return [low - room, high + room];
    };
    const axes = { range: { x: span(columns.x), y: span(columns.y) } }, { method, trustworthiness } = about.directions;
    const kept = trustworthiness === null ? "" : ` (trustworthiness ${trustworthiness.toFixed(2)} of 1)`;
    return [
      el("p", { class: "lead", text: `Near each other: latents whose decoder directions are alike, as laid out by ${method}${kept}. How far apart far points are means nothing.` }),
      el("div", { class: "fields" }, picker(colour, to)),
      drawn(ids, (id) => columns.x[id], (id) => columns.y[id], axes, looks, `Map of the decoder directions of ${ids.length} latents.`,
        (id) => [`fires on ${lab.percent(columns.rate[id])}`, looks.told(id)]), legend(looks.legend),
      asTable("Latents by their place on the map, from left to right", ["across", "up", "fires on"], [...ids].sort((m, n) => columns.x[m] - columns.x[n]),
        (id) => [lab.fixed(columns.x[id], 1), lab.fixed(columns.y[id], 1), lab.percent(columns.rate[id])]),
    ];
  }

  function geometry(given, colour, to) {
    const nth = judged.find((one) => `${one}` === given.get("domain")) ?? judged[0], own = (name, id) => columns[`d${nth}.${name}`][id];
    const ids = latents.filter((id) => own("geometric", id) !== null && own("semantic", id) !== null);
    const looks = colouring(colour || `verdict${nth}`, ids), most = Math.max(1, ...ids.map((id) => columns.count[id]));
    const high = (name) => Math.max(0.2, ...ids.map((id) => own(name, id))) * 1.05;
    const ticks = (end) => [0, 0.2, 0.4, 0.6, 0.8, 1].filter((one) => one <= end).map((one) => [one, `${one}`]);
    const [right, top] = [high("geometric"), high("semantic")], bar = about.least_effect;
    const axes = { x: { title: "geometric effect", ticks: ticks(right) }, y: { title: "semantic effect", ticks: ticks(top) }, range: { x: [-0.02, right], y: [-0.02, top] } };
    const domains = judged.length > 1 ? lab.choice("Domain", "domain", judged.map((one) => [`${one}`, about.domains[one].name]), `${nth}`, (value) => to({ domain: value, colour: `verdict${value}` })) : null;
    const told = (id) => [`${own("verdict", id)}, follows ${(own("measure", id) ?? "nothing").replaceAll("_", " ")} (ρ ${lab.fixed(own("rho", id))})`, looks.told(id)];
    return [
      el("p", { class: "lead", text: `To the right: latents that follow strokes within a class. Up: latents that follow the class, given the strokes. Dotted: the smallest effect that counts (${bar}). Larger points fire on more images.` }),
      el("div", { class: "fields" }, domains, picker(colour || `verdict${nth}`, to)),
      drawn(ids, (id) => own("geometric", id), (id) => own("semantic", id), axes, looks, `Map of ${ids.length} latents of ${about.domains[nth].name} by their geometric effect, across, and their semantic effect, up.`,
        told, [[bar, -0.02, bar, top], [-0.02, bar, right, bar]], (id) => 2.5 + 6 * Math.sqrt(columns.count[id] / most)), legend(looks.legend),
      asTable(`Verdicts on ${about.domains[nth].name}, the most geometric first`, ["verdict", "follows", "ρ", "geometric", "semantic"], [...ids].sort((m, n) => own("geometric", n) - own("geometric", m)),
        (id) => [own("verdict", id), (own("measure", id) ?? "–").replaceAll("_", " "), lab.fixed(own("rho", id)), lab.fixed(own("geometric", id)), lab.fixed(own("semantic", id))]),
    ];
  }

  return { show };
})();
