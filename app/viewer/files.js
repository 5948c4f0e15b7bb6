// The files of a drop, including those in folders.

export async function filesOf(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const found = items.map((item) => item.webkitGetAsEntry() ?? item.getAsFile()); // the items are valid during the event only
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

// Leaves out hidden files and the directory file of a DICOM medium.
export const radiographs = (files) => [...files].filter((file) => !file.name.startsWith(".") && file.name !== "DICOMDIR");
