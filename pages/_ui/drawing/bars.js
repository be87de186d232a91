// Sections of rows: a title (a button where it leads somewhere), bars with their values, small pictures. Every text is set as text.
// What stays is kept, so that nothing flickers and no focus is lost while the numbers move.

function children(parent, count, make) {
  while (parent.children.length > count) parent.lastChild.remove();
  while (parent.children.length < count) parent.appendChild(make());
  return [...parent.children];
}

function element(tag, name, role) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (role) made.setAttribute('role', role);
  return made;
}

function text(node, said) {
  if (node.textContent !== said) node.textContent = said;
}

function pictures(box, wanted) {
  const images = children(box, wanted.length, () => {
    const image = document.createElement('img');
    image.decoding = 'async';
    image.loading = 'lazy';
    image.onload = () => image.classList.toggle('small', image.naturalWidth <= 64);
    return image;
  });
  wanted.forEach((picture, at) => {
    const image = images[at];
    const url = new URL(picture.url, document.baseURI).href;
    if (image.src !== url) image.src = url;
    image.alt = image.title = picture.label;
    image.style.setProperty('--edge', picture.edge ?? 'var(--st-border-color)');
  });
}

function row(item, data, choose) {
  if (!item.head) {
    item.head = element('div', 'head');
    item.append(item.head);
    item.tag = element('span', 'tag');
    item.shown = element('div', 'pictures');
    item.append(item.shown);
  }
  const tag = data.id === null ? 'SPAN' : 'BUTTON';
  if (item.name?.tagName !== tag) {
    item.name = element(tag.toLowerCase());
    if (tag === 'BUTTON') item.name.type = 'button';
    item.head.replaceChildren(item.name, item.tag);
  }
  text(item.name, data.title);
  text(item.tag, data.tag);
  if (data.id !== null) item.name.onclick = () => choose(data.id);

  const bars = item.bars ??= [];
  while (bars.length > data.bars.length) bars.pop().forEach((part) => part.remove());
  while (bars.length < data.bars.length) {
    const bar = element('span', 'bar'), value = element('span', 'value');
    bar.append(document.createElement('i'));
    item.insertBefore(bar, item.shown);
    item.insertBefore(value, item.shown);
    bars.push([bar, value]);
  }
  item.head.style.gridColumn = '1 / -1';
  data.bars.forEach((one, at) => {
    const [bar, value] = bars[at];
    bar.firstChild.style.width = `${100 * Math.min(1, Math.max(0, one.length))}%`;
    bar.firstChild.style.background = one.colour;
    text(value, one.text);
  });
  pictures(item.shown, data.pictures);
}

export default function (component) {
  const { data, setTriggerValue, parentElement } = component;
  let root = parentElement.querySelector('.bars');
  if (!root) {
    root = element('div', 'bars');
    parentElement.appendChild(root);
  }
  const choose = (id) => {
    // The page is being left, and the server lets its pictures go: one that is not here yet would find nothing there.
    for (const image of root.querySelectorAll('img')) if (!image.complete) image.removeAttribute('src');
    setTriggerValue('clicked', id);
  };
  const sections = children(root, data.sections.length, () => {
    const section = element('section');
    section.append(element('h3'), element('p'), element('div', 'pictures large'), element('ul'));
    return section;
  });
  data.sections.forEach((one, at) => {
    const [title, note, shown, list] = sections[at].children;
    text(title, one.title);
    text(note, one.note);
    note.hidden = !one.note;
    note.classList.toggle('alert', one.alert);
    pictures(shown, one.pictures);
    const items = children(list, one.rows.length, () => element('li'));
    one.rows.forEach((data, nth) => row(items[nth], data, choose));
  });
  root.dataset.seq = data.seq;
}
