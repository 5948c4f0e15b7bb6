// Keys that work while a radiograph has the focus, and the help table that lists them.

import { translate } from "./texts.js";

// `keys`: the function of each key; `text`: the entry that describes the row.
export function bindings(act) {
  return [
    { text: "keyarrows", keys: { ArrowUp: () => act.go(-1, 0), ArrowDown: () => act.go(1, 0), ArrowLeft: () => act.go(0, -1), ArrowRight: () => act.go(0, 1) } },
    { text: "keyspace", keys: { " ": act.toggle } },
    { text: "keymove", needsShift: true, keys: { ArrowUp: () => act.pan(0, 40), ArrowDown: () => act.pan(0, -40), ArrowLeft: () => act.pan(40, 0), ArrowRight: () => act.pan(-40, 0) } },
    { text: "keyzoom", keys: { "+": () => act.zoom(1.25), "-": () => act.zoom(0.8) } },
    { text: "fit", keys: { f: act.fit } },
    { text: "keyfinding", keys: { PageDown: () => act.step(1), PageUp: () => act.step(-1) } },
    { text: "keywindow", keys: { 1: () => act.window(-0.02, 0), 2: () => act.window(0.02, 0), 3: () => act.window(0, -0.04), 4: () => act.window(0, 0.04) } },
    { text: "presetfile", keys: { 0: act.fileWindow } },
    { text: "invert", keys: { i: act.invert } },
    { text: "keytools", keys: { b: () => act.tool("brush"), v: () => act.tool("pan"), w: () => act.tool("window") } },
    { text: "undo", keys: { u: act.undo } },
    { text: "reset", keys: { r: act.reset } },
    { text: "smooth", keys: { s: act.smooth } },
    { text: "compare", keys: { c: act.compare } },
    { text: "fullscreen", keys: { m: act.fullscreen } },
    { text: "help", keys: { "?": act.help } },
  ];
}

export function handleKey(event, table) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isArrow = event.key.startsWith("Arrow");
  const row = table.find(({ keys, needsShift }) => keys[event.key] && (!isArrow || Boolean(needsShift) === event.shiftKey));
  if (!row) return;
  event.preventDefault();
  row.keys[event.key]();
}

const signs = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", PageDown: "PgDn", PageUp: "PgUp" };

export function showKeys(body, table) {
  body.replaceChildren(...table.map(({ text, keys, needsShift }) => {
    const line = document.createElement("tr");
    const left = line.insertCell();
    if (needsShift) left.append(`${translate("shift")} + `);
    for (const key of Object.keys(keys)) {
      const sign = document.createElement("kbd");
      sign.textContent = key === " " ? translate("space") : signs[key] ?? key;
      left.append(sign, " ");
    }
    line.insertCell().textContent = translate(text);
    return line;
  }));
}
