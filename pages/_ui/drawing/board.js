// ---------------------------------------------------------------- the board: paper, tools, and the way to the app

const EVERY = 100; // ms between two sendings
const BEGUN = 200; // ms of a stroke before it is sent unfinished: a short one is then sent once, whole, when the pen is lifted
const PATIENCE = 5000; // ms after which an answer is no longer waited for
const NEAR = 0.002; // points nearer to the last one than this add nothing
// Medium is the middle of the drawn world's pens, which go from 0.016 to 0.034 of the frame.
const WIDTHS = [['Thin', 0.0125], ['Medium', 0.025], ['Thick', 0.05]];

// Drawings by name, for as long as the tab lives: a rerun, another theme and another page leave them alone.
const memories = new Map();

function memory(name) {
  if (!memories.has(name)) {
    memories.set(name, {
      done: [], undone: [], pictures: new Map(), seen: null, seq: 0, sentAt: -Infinity, colour: INK, width: WIDTHS[1][1],
    });
  }
  return memories.get(name);
}

class Board {
  constructor(root, name) {
    this.root = root;
    this.memory = memory(name);
    this.live = null; // the stroke under the pointer
    this.pointer = null;
    this.flying = 0; // number of the drawing that waits for its answer
    this.dirty = false;
    this.small = layer(SIDE);
    this.buttons = {};
    this.canvas = document.createElement('canvas');
    this.canvas.setAttribute('role', 'img');
    this.paper = this.canvas.getContext('2d');
    this.under = layer(1); // what is done, at the screen's size
    this.note = document.createElement('p');
    this.note.setAttribute('role', 'status');
    root.append(this.tools(), this.canvas, this.note);
    // The paper is the last to hear of a run, and no older for it: Streamlit would fade it meanwhile.
    root.getRootNode().host?.closest('[data-testid="stElementContainer"]')?.style.setProperty('opacity', '1', 'important');
    this.listen();
    this.refresh();
    this.say('');
    if (this.memory.seq) root.dataset.sent = this.memory.seq;
  }

  tools() {
    const bar = document.createElement('div');
    bar.className = 'tools';
    bar.setAttribute('role', 'toolbar');
    bar.setAttribute('aria-label', 'Drawing tools');
    const group = (label, buttons) => {
      const box = document.createElement('div');
      box.setAttribute('role', 'group');
      box.setAttribute('aria-label', label);
      box.append(...buttons);
      return box;
    };
    const widths = WIDTHS.map(([name, width]) => {
      const button = this.button(name, () => { this.memory.width = width; this.say(`${name} line.`); });
      const dot = document.createElement('i');
      dot.style.width = dot.style.height = `${400 * width}px`;
      button.replaceChildren(dot);
      button.title = `${name} line`;
      button.setAttribute('aria-label', `${name} line`);
      return button;
    });
    bar.append(
      group('Tool', [
        this.button('Pen', () => { this.memory.colour = INK; this.say('Pen.'); }),
        this.button('Eraser', () => { this.memory.colour = PAPER; this.say('Eraser.'); }),
      ]),
      group('Width', widths),
      this.button('Undo', () => this.undo(), 'Ctrl+Z'),
      this.button('Redo', () => this.redo(), 'Ctrl+Shift+Z'),
      this.button('Clear', () => this.clear()),
      this.button('PNG', () => this.savePng(), 'Download the drawing as PNG'),
      this.button('SVG', () => this.saveSvg(), 'Download the drawing as SVG'),
    );
    return bar;
  }

  button(name, action, title) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = name;
    if (title) button.title = title;
    // Not `disabled`: a button that is pressed and goes dead would drop the keyboard's focus.
    button.onclick = () => { if (button.getAttribute('aria-disabled') !== 'true') action(); };
    this.buttons[name] = button;
    return button;
  }

  listen() {
    const canvas = this.canvas;
    canvas.onpointerdown = (event) => this.begin(event);
    canvas.onpointermove = (event) => this.go(event);
    canvas.onpointerup = canvas.onpointercancel = canvas.onlostpointercapture = (event) => this.end(event);
    canvas.oncontextmenu = (event) => event.preventDefault();
    this.resized = new ResizeObserver(() => this.fit());
    this.resized.observe(canvas);
    this.keys = (event) => this.key(event);
    document.addEventListener('keydown', this.keys);
  }

  stop() {
    this.resized.disconnect();
    document.removeEventListener('keydown', this.keys);
    clearTimeout(this.timer);
  }

  // ---- pointer

  begin(event) {
    if (this.pointer !== null || (event.pointerType === 'mouse' && event.button !== 0)) return;
    event.preventDefault();
    this.pointer = event.pointerId;
    try { this.canvas.setPointerCapture(event.pointerId); } catch { /* the pointer has gone already: its end comes next */ }
    this.live = { kind: 'stroke', colour: this.memory.colour, width: this.memory.width, points: [] };
    this.begun = performance.now();
    this.add(event);
    this.draw();
    this.changed();
  }

  go(event) {
    if (event.pointerId !== this.pointer) return;
    const before = this.live.points.length;
    const between = event.getCoalescedEvents?.() ?? [];
    for (const one of between.length ? between : [event]) this.add(one);
    if (this.live.points.length === before) return;
    this.draw();
    this.changed();
  }

  end(event) {
    if (event.pointerId !== this.pointer) return;
    this.pointer = null;
    const stroke = this.live;
    this.live = null;
    this.push(stroke);
  }

  add(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
    const points = this.live.points;
    if (points.length && Math.hypot(x - points.at(-2), y - points.at(-1)) < NEAR) return;
    points.push(x, y);
  }

  key(event) {
    const at = event.composedPath()[0];
    if (!(event.ctrlKey || event.metaKey) || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName) || at.isContentEditable) return;
    const key = event.key.toLowerCase();
    if (key === 'z' && !event.shiftKey) this.undo();
    else if (key === 'y' || key === 'z') this.redo();
    else return;
    event.preventDefault();
  }

  // ---- what is done

  push(operation) {
    this.memory.done.push(operation);
    this.memory.undone = [];
    if (operation.kind === 'stroke') {
      ink(this.under, operation);
      ink(this.small, operation);
      this.after('');
    } else {
      this.refresh();
      this.after(operation.kind === 'clear' ? 'Cleared.' : 'Picture laid on the paper.');
    }
  }

  undo() {
    const last = this.live ? null : this.memory.done.pop();
    if (!last) return;
    this.memory.undone.push(last);
    this.refresh();
    this.after('Undone.');
  }

  redo() {
    const next = this.live ? null : this.memory.undone.pop();
    if (!next) return;
    this.memory.done.push(next);
    this.refresh();
    this.after('Redone.');
  }

  clear() {
    if (!this.live && !this.blank()) this.push({ kind: 'clear' });
  }

  blank() {
    const { base, strokes } = visible(this.memory.done);
    return base === null && !strokes.length;
  }

  after(said) {
    this.draw();
    this.say(said);
    this.changed();
  }

  lay(base) {
    if (!base || this.memory.seen === base.id) return;
    this.memory.seen = base.id;
    const picture = new Image();
    picture.onload = () => {
      this.memory.pictures.set(base.id, picture);
      this.push({ kind: 'base', id: base.id });
    };
    picture.onerror = () => this.say('The picture could not be loaded. Choose it again.');
    picture.src = new URL(base.url, document.baseURI).href;
  }

  // ---- the screen

  fit() {
    const side = Math.max(1, Math.round(this.canvas.clientWidth * (window.devicePixelRatio || 1)));
    if (this.canvas.width === side) return;
    this.canvas.width = this.canvas.height = side;
    this.refresh();
    this.draw();
  }

  refresh() {
    const side = this.canvas.width;
    if (this.under.canvas.width !== side) this.under = layer(side);
    repaint(this.under, this.memory);
    repaint(this.small, this.memory);
  }

  draw() {
    this.paper.drawImage(this.under.canvas, 0, 0);
    if (this.live) ink(this.paper, this.live);
  }

  say(said) {
    const { done, undone, colour, width } = this.memory;
    const { base, strokes } = visible(done);
    const count = `${strokes.length} ${strokes.length === 1 ? 'stroke' : 'strokes'}`;
    const what = this.blank() ? 'The paper is blank.' : base === null ? `${count}.` : `A picture and ${count}.`;
    this.note.textContent = `${said} ${what}`.trim();
    this.canvas.setAttribute('aria-label', `Drawing paper. ${what}`);
    const press = (name, is) => this.buttons[name].setAttribute('aria-pressed', String(is));
    press('Pen', colour === INK);
    press('Eraser', colour === PAPER);
    for (const [name, one] of WIDTHS) press(name, one === width);
    const dead = (name, is) => this.buttons[name].setAttribute('aria-disabled', String(is));
    dead('Undo', !done.length);
    dead('Redo', !undone.length);
    dead('Clear', this.blank());
    this.root.dataset.strokes = strokes.length;
  }

  // ---- the app: one drawing on its way at a time, the last one always goes

  update(component) {
    this.component = component;
    const { answered, base } = component.data;
    if (answered && answered === this.memory.seq) {
      this.root.dataset.answered = answered;
      if (this.flying) this.root.dataset.milliseconds = Math.round(performance.now() - this.memory.sentAt);
      this.flying = 0;
    } else if (!this.flying && this.memory.done.length) {
      this.dirty = true; // a page that was opened anew knows nothing, or not the last, of what was drawn before
    }
    this.lay(base);
    this.pump();
  }

  changed() {
    this.dirty = true;
    this.pump();
  }

  pump() {
    this.root.dataset.waiting = this.dirty;
    if (!this.dirty || !this.component) return;
    clearTimeout(this.timer);
    // What is finished goes at once, and overtakes what is on its way: the app drops a reading that it has not ended.
    // While a drawing is on its way its answer pumps again; the long wait is for an answer that never comes.
    const due = this.live ? Math.max(this.begun + BEGUN, this.memory.sentAt + (this.flying ? PATIENCE : EVERY)) : 0;
    this.timer = setTimeout(() => this.send(), Math.max(0, due - performance.now()));
  }

  send() {
    this.dirty = false;
    const { base, strokes } = visible(this.memory.done);
    const whole = layer(SIDE);
    whole.drawImage(this.small.canvas, 0, 0);
    if (this.live) ink(whole, this.live);
    this.flying = this.memory.seq += 1;
    this.memory.sentAt = performance.now();
    this.root.dataset.sent = this.flying;
    this.root.dataset.waiting = false;
    this.component.setStateValue('drawing', {
      seq: this.flying,
      png: whole.canvas.toDataURL('image/png'),
      strokes: strokes.length + (this.live ? 1 : 0),
      base,
      seen: this.memory.seen,
    });
  }

  // ---- taking it away: made here, sent nowhere

  savePng() {
    const whole = layer(1024);
    repaint(whole, this.memory);
    whole.canvas.toBlob((blob) => this.save(blob, 'drawing.png'), 'image/png');
  }

  saveSvg() {
    this.save(new Blob([svg(this.memory)], { type: 'image/svg+xml' }), 'drawing.svg');
  }

  save(blob, name) {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }
}

export default function (component) {
  const { data, parentElement } = component;
  let root = parentElement.querySelector('.board');
  if (!root) {
    root = document.createElement('div');
    root.className = 'board';
    parentElement.appendChild(root);
    root.board = new Board(root, data.name);
  }
  root.board.update(component);
  return () => root.board.stop();
}
