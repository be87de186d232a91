// A drawing and its pictures. A drawing is a list of operations in units of the paper's side, so that undo is exact and any size is crisp:
//   {kind: 'stroke', colour, width, points: [x0, y0, x1, y1, ...]}, {kind: 'clear'}, {kind: 'base', id}
// Clear and base (a picture laid on the paper) start over; undoing them brings back what was there.

const SIDE = 256; // pixels of a side of what the app reads
const INK = '#000000', PAPER = '#ffffff';

function visible(done) {
  let from = done.length;
  while (from > 0 && done[from - 1].kind === 'stroke') from -= 1;
  return { base: from > 0 && done[from - 1].kind === 'base' ? done[from - 1].id : null, strokes: done.slice(from) };
}

function layer(side) {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = side;
  return canvas.getContext('2d');
}

function ink(context, { colour, width, points }) {
  const side = context.canvas.width;
  const at = (i) => points[i] * side;
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = width * side;
  context.lineCap = context.lineJoin = 'round';
  context.beginPath();
  if (points.length === 2) {
    context.arc(at(0), at(1), (width * side) / 2, 0, 2 * Math.PI);
    context.fill();
    return;
  }
  context.moveTo(at(0), at(1));
  // Through the middles of the pieces, with the points as handles: smooth, and the same as the SVG's path.
  for (let i = 2; i < points.length - 2; i += 2) {
    context.quadraticCurveTo(at(i), at(i + 1), (at(i) + at(i + 2)) / 2, (at(i + 1) + at(i + 3)) / 2);
  }
  context.lineTo(at(points.length - 2), at(points.length - 1));
  context.stroke();
}

function repaint(context, { done, pictures }) {
  const side = context.canvas.width;
  const { base, strokes } = visible(done);
  context.fillStyle = PAPER;
  context.fillRect(0, 0, side, side);
  if (base !== null) context.drawImage(pictures.get(base), 0, 0, side, side);
  for (const stroke of strokes) ink(context, stroke);
}

function svg({ done, pictures }) {
  const { base, strokes } = visible(done);
  const scale = (value) => (1000 * value).toFixed(1);
  const lines = strokes.map(({ colour, width, points }) => {
    if (points.length === 2) {
      return `<circle cx="${scale(points[0])}" cy="${scale(points[1])}" r="${scale(width / 2)}" fill="${colour}" stroke="none"/>`;
    }
    let path = `M${scale(points[0])} ${scale(points[1])}`;
    for (let i = 2; i < points.length - 2; i += 2) {
      const [x, y] = [(points[i] + points[i + 2]) / 2, (points[i + 1] + points[i + 3]) / 2];
      path += `Q${scale(points[i])} ${scale(points[i + 1])} ${scale(x)} ${scale(y)}`;
    }
    path += `L${scale(points.at(-2))} ${scale(points.at(-1))}`;
    return `<path d="${path}" stroke="${colour}" stroke-width="${scale(width)}"/>`;
  });
  let under = '';
  if (base !== null) {
    const whole = layer(512);
    whole.drawImage(pictures.get(base), 0, 0, 512, 512);
    under = `<image width="1000" height="1000" href="${whole.canvas.toDataURL('image/png')}"/>`;
  }
  return '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 1000" width="1000" height="1000">'
    + `<rect width="1000" height="1000" fill="${PAPER}"/>${under}`
    + `<g fill="none" stroke-linecap="round" stroke-linejoin="round">${lines.join('')}</g></svg>`;
}
