// The keyboard: every key while a film has the focus, and the page that shows them.

import { say } from "./words.js";

// `does`: what each key calls; `word` explains the row.
export function bindings(act) {
  return [
    { word: "keyarrows", keys: { ArrowUp: () => act.go(-1, 0), ArrowDown: () => act.go(1, 0), ArrowLeft: () => act.go(0, -1), ArrowRight: () => act.go(0, 1) } },
    { word: "keyspace", keys: { " ": act.toggle } },
    { word: "keymove", needsShift: true, keys: { ArrowUp: () => act.pan(0, 40), ArrowDown: () => act.pan(0, -40), ArrowLeft: () => act.pan(40, 0), ArrowRight: () => act.pan(-40, 0) } },
    { word: "keyzoom", keys: { "+": () => act.zoom(1.25), "-": () => act.zoom(0.8) } },
    { word: "fit", keys: { f: act.fit } },
    { word: "keyfinding", keys: { PageDown: () => act.step(1), PageUp: () => act.step(-1) } },
    { word: "keywindow", keys: { 1: () => act.window(-0.02, 0), 2: () => act.window(0.02, 0), 3: () => act.window(0, -0.04), 4: () => act.window(0, 0.04) } },
    { word: "presetfile", keys: { 0: act.fileWindow } },
    { word: "invert", keys: { i: act.invert } },
    { word: "keytools", keys: { b: () => act.tool("brush"), v: () => act.tool("pan"), w: () => act.tool("window") } },
    { word: "undo", keys: { u: act.undo } },
    { word: "reset", keys: { r: act.reset } },
    { word: "smooth", keys: { s: act.smooth } },
    { word: "compare", keys: { c: act.compare } },
    { word: "fullscreen", keys: { m: act.fullscreen } },
    { word: "help", keys: { "?": act.help } },
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
  body.replaceChildren(...table.map(({ word, keys, needsShift }) => {
    const line = document.createElement("tr");
    const left = line.insertCell();
    if (needsShift) left.append(`${say("shift")} + `);
    for (const key of Object.keys(keys)) {
      const sign = document.createElement("kbd");
      sign.textContent = key === " " ? say("space") : signs[key] ?? key;
      left.append(sign, " ");
    }
    line.insertCell().textContent = say(word);
    return line;
  }));
}
