// Which latents a list shows, and in which order. Nothing here touches the page.
"use strict";
lab.list = (() => {
  const about = lab.held.get("about"), { columns, shifts } = lab.held.get("latents");
  const latents = columns.group.map((_, id) => id);
  const groups = ["alive", "shared", ...about.domains.map((domain) => `${domain.name} only`), "dead", "all"]
    .filter((group) => !group.endsWith(" only") || about.domains.length > 1);
  const EMPTY = { q: "", group: "alive", low: "", high: "", verdict: "", status: "", cls: "", score: "", sort: "sum", page: "1" };
  const SORTS = [
    ["sum", "summed activation", "sum", -1],
    ["rate", "firing rate, highest first", "count", -1],
    ["rare", "firing rate, lowest first", "count", 1],
    ["max", "largest activation", "max", -1],
    ["score", "name's score", "score", -1],
    ["lift", "lift of its class", "class_lift", -1],
    ["steering", "steering effect", "steering_beyond", -1],
    ["name", "name, A to Z", "name", 1],
    ["id", "latent number", null, 1],
  ].filter(([, , column]) => column === null || columns[column]);
  const verdictsOf = about.domains.map((_, nth) => columns[`d${nth}.verdict`]).filter(Boolean);

  const inGroup = (id, group) =>
    group === "all" || (group === "alive" ? columns.group[id] !== "dead" : columns.group[id] === group);

  /** Text that a search looks in. */
  function words(id) {
    return [columns.name?.[id], columns.candidate?.[id], columns.class?.[id]].filter(Boolean).join("\n").toLowerCase();
  }

  function matches(id, text) {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return true;
    const asked = /^(?:latent\s*|#)?(\d+)$/.exec(wanted);
    return (asked !== null && Number(asked[1]) === id) || words(id).includes(wanted);
  }

  /** The latents that pass, all but the group when `anyGroup`. */
  function passing(state, anyGroup = false) {
    const low = state.low === "" ? -1 : Number(state.low) / 100, high = state.high === "" ? 2 : Number(state.high) / 100;
    const least = state.score === "" ? null : Number(state.score);
    return latents.filter((id) =>
      (anyGroup || inGroup(id, state.group)) &&
      columns.rate[id] >= low && columns.rate[id] <= high &&
      (!state.verdict || verdictsOf.some((column) => column[id] === state.verdict)) &&
      (!state.status || columns.status[id] === state.status) &&
      (!state.cls || columns.class[id] === state.cls) &&
      (least === null || (columns.score[id] !== null && columns.score[id] >= least)) &&
      matches(id, state.q));
  }

  function sorted(ids, by) {
    const [, , column, way] = SORTS.find(([name]) => name === by) ?? SORTS[0];
    if (column === null) return ids;
    const values = columns[column];
    return [...ids].sort((a, b) => {
      const [x, y] = [values[a], values[b]];
      if (x === null || y === null) return (x === null) - (y === null) || a - b;
      return way * (typeof x === "string" ? x.localeCompare(y, "en") : x - y) || a - b;
    });
  }

  /** A state from a link; what is not one of the choices is left alone. */
  function read(query) {
    const state = { ...EMPTY }, given = new URLSearchParams(query);
    for (const name of Object.keys(EMPTY)) if (given.has(name)) state[name] = given.get(name).slice(0, 200);
    const allowed = {
      group: groups, sort: SORTS.map(([name]) => name), verdict: ["", ...present(verdictsOf)],
      status: ["", ...present([columns.status ?? []])], cls: ["", ...present([columns.class ?? []])],
    };
    for (const [name, values] of Object.entries(allowed)) if (!values.includes(state[name])) state[name] = EMPTY[name];
    for (const name of ["low", "high", "score"]) if (state[name] !== "" && !(Number(state[name]) >= 0)) state[name] = "";
    if (!columns.score) state.score = "";
    if (!(Number(state.page) >= 1)) state.page = "1";
    return state;
  }

  function write(state) {
    const told = new URLSearchParams();
    for (const [name, value] of Object.entries(state)) if (value !== EMPTY[name]) told.set(name, value);
    return told.toString();
  }

  function present(lists) {
    return [...new Set(lists.flat().filter((one) => one !== null && one !== undefined))].sort((a, b) => a.localeCompare(b, "en"));
  }

  /** What to call a latent: its name, else the word that was tried, else nothing. */
  const label = (id) => columns.name?.[id] ?? null;

  /** The file of a latent's picture. */
  const file = (id) => `latents/${String(id).padStart(4, "0")}.webp`;

  return { about, columns, shifts, latents, groups, EMPTY, SORTS, verdictsOf, inGroup, passing, sorted, read, write, present, label, file };
})();
