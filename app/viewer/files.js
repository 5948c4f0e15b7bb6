// Files that were dropped, those in folders too.

export async function filesOf(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const found = items.map((item) => item.webkitGetAsEntry() ?? item.getAsFile()); // gone once the event is over
  return (await Promise.all(found.map((entry) => (entry instanceof File ? [entry] : filesIn(entry))))).flat();
}

async function filesIn(entry) {
  if (entry.isFile) return [await new Promise((done, fail) => entry.file(done, fail))];
  const reader = entry.createReader();
  const inside = [];
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) break;
    inside.push(...some);
  }
  return (await Promise.all(inside.map(filesIn))).flat();
}

// What the system keeps beside the films.
export const films = (files) => [...files].filter((file) => !file.name.startsWith(".") && file.name !== "DICOMDIR");
