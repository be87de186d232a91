// Drawings as SVG: a histogram, bars, a scatter of latents that mouse and keyboard can walk through.
"use strict";
lab.plots = (() => {
  const { el, svg } = lab;

  /** Counts of equal bins as bars over a logarithmic axis. */
  function histogram(counts, most, tallest, kind, label) {
    const [width, height, left, bottom, top] = [320, 150, 40, 26, 8];
    const high = Math.log10(1 + Math.max(1, tallest));
    const y = (value) => height - bottom - ((height - bottom - top) * Math.log10(1 + value)) / high;
    const step = (width - left - 6) / counts.length;
    const marks = [1, 10, 100, 1000, 10000, 100000, 1000000].filter((one) => one <= Math.max(1, tallest));
    const lines = marks.map((one) => [
      svg("line", { x1: left, x2: width - 6, y1: y(one), y2: y(one), class: "grid-line" }),
      text(left - 5, y(one) + 4, one.toLocaleString("en-GB"), "end")]);
    const bars = counts.map((value, nth) => value
      ? svg("rect", { x: left + nth * step + 0.5, width: Math.max(1, step - 1), y: y(value), height: height - bottom - y(value), class: `fill ${kind}` })
      : null);
    const ticks = [0, 0.5, 1].map((share) => text(left + share * counts.length * step, height - 8, lab.number(share * most, 2), ["start", "middle", "end"][2 * share]));
    return svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "img", "aria-label": label }, lines, bars,
      svg("line", { x1: left, x2: width - 6, y1: height - bottom, y2: height - bottom, class: "axis" }), ticks);
  }

  function text(x, y, said, anchor = "start", kind = "tick") {
    const made = svg("text", { x, y, "text-anchor": anchor, class: kind });
    made.textContent = said;
    return made;
  }

  const SHAPES = {
    circle: (x, y, r) => svg("circle", { cx: x, cy: y, r }),
    right: (x, y, r) => svg("path", { d: `M${x - r} ${y - r} L${x + r} ${y} L${x - r} ${y + r} Z` }),
    up: (x, y, r) => svg("path", { d: `M${x - r} ${y + r} L${x} ${y - r} L${x + r} ${y + r} Z` }),
    diamond: (x, y, r) => svg("path", { d: `M${x} ${y - r * 1.2} L${x + r * 1.2} ${y} L${x} ${y + r * 1.2} L${x - r * 1.2} ${y} Z` }),
    square: (x, y, r) => svg("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r }),
  };

  /**
   * Latents as points. `points`: {id, x, y, colour, shape, size, told}, x and y in axis units. `axes`: for each of x and y
   * {low, high, ticks: [[at, text]], title} or null for no axis. Arrow keys walk to the nearest point that way, Enter opens it.
   */
  function scatter(points, axes, label, marks = []) {
    // On a phone the map is drawn smaller, not shrunk, so that its words stay readable.
    const [width, height] = innerWidth < 600 ? [400, 420] : [760, 520];
    const [left, bottom] = [axes.x ? 64 : 12, axes.y ? 52 : 12];
    const px = (value) => left + ((value - axes.range.x[0]) / (axes.range.x[1] - axes.range.x[0])) * (width - left - 14);
    const py = (value) => height - bottom - ((value - axes.range.y[0]) / (axes.range.y[1] - axes.range.y[0])) * (height - bottom - 14);
    const ticks = [];
    for (const [at, said] of axes.x?.ticks ?? []) ticks.push(svg("line", { x1: px(at), x2: px(at), y1: 14, y2: height - bottom, class: "grid-line" }), text(px(at), height - bottom + 18, said, "middle"));
    for (const [at, said] of axes.y?.ticks ?? []) ticks.push(svg("line", { y1: py(at), y2: py(at), x1: left, x2: width - 14, class: "grid-line" }), text(left - 6, py(at) + 4, said, "end"));
    if (axes.x) ticks.push(text((left + width) / 2, height - 8, axes.x.title, "middle", "axis-title"));
    if (axes.y) {
      const title = text(0, 0, axes.y.title, "middle", "axis-title");
      title.setAttribute("transform", `translate(14 ${(height - bottom) / 2}) rotate(-90)`);
      ticks.push(title);
    }
    const lines = marks.map(([x1, y1, x2, y2]) => svg("line", { x1: px(x1), y1: py(y1), x2: px(x2), y2: py(y2), class: "dotted" }));
    const places = points.map((point) => ({ ...point, px: px(point.x), py: py(point.y) }));
    const marksOf = places.map((point, nth) => {
      const mark = SHAPES[point.shape ?? "circle"](point.px, point.py, point.size ?? 4);
      mark.style.setProperty("fill", point.colour);
      mark.dataset.nth = nth;
      return mark;
    });
    const ring = svg("circle", { r: 9, class: "ring", visibility: "hidden" });
    const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot map", role: "application", tabindex: "0", "aria-label": `${label} Arrow keys go from latent to latent, Enter opens one. The same is in the table below.` },
      ticks, lines, svg("g", { class: "points" }, marksOf), ring);
    const bubble = el("div", { class: "bubble", hidden: true, "aria-hidden": "true" });
    const frame = el("div", { class: "map-frame" }, drawn, bubble);
    let at = -1;

    function point(nth, aloud) {
      at = nth;
      ring.setAttribute("visibility", nth < 0 ? "hidden" : "visible");
      bubble.hidden = nth < 0;
      if (nth < 0) return;
      const one = places[nth];
      ring.setAttribute("cx", one.px);
      ring.setAttribute("cy", one.py);
      const lines = one.told().map((line, first) => el(first ? "span" : "strong", { text: line }));
      bubble.replaceChildren(...lab.some([one.picture ? el("img", { src: one.picture, alt: "", width: 84, height: 84 }) : null, el("div", {}, lines)]));
      // Set through the object model: the page's policy forbids style attributes.
      bubble.style.left = `${(100 * one.px) / width}%`;
      bubble.style.top = `${(100 * one.py) / height}%`;
      bubble.classList.toggle("leftwards", one.px > width * 0.6);
      bubble.classList.toggle("below", one.py < height * 0.25);
      if (aloud) lab.say(one.told().join(", "));
    }

    function nearest(event) {
      const box = drawn.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * width, y = ((event.clientY - box.top) / box.height) * height;
      let best = -1, least = 14 ** 2;
      places.forEach((one, nth) => {
        const far = (one.px - x) ** 2 + (one.py - y) ** 2;
        if (far < least) [best, least] = [nth, far];
      });
      return best;
    }

    function walk(dx, dy) {
      if (at < 0) return point(0, true);
      const from = places[at];
      let best = -1, least = Infinity;
      places.forEach((one, nth) => {
        const along = (one.px - from.px) * dx + (one.py - from.py) * dy, aside = Math.abs((one.px - from.px) * dy) + Math.abs((one.py - from.py) * dx);
        if (nth !== at && along > 0.5 && along + 2 * aside < least) [best, least] = [nth, along + 2 * aside];
      });
      return best < 0 ? undefined : point(best, true);
    }

    drawn.addEventListener("pointermove", (event) => point(nearest(event), false));
    drawn.addEventListener("pointerleave", () => point(-1, false));
    drawn.addEventListener("click", (event) => {
      const nth = nearest(event);
      if (nth >= 0) lab.open(places[nth].id);
    });
    drawn.addEventListener("keydown", (event) => {
      const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (way && !event.altKey && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        event.stopPropagation();
        walk(...way);
      } else if (event.key === "Enter" && at >= 0) lab.open(places[at].id);
    });
    drawn.addEventListener("blur", () => point(-1, false));
    return frame;
  }

  return { histogram, scatter };
})();
