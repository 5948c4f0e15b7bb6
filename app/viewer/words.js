// What the page says, in English and German.
export const words = {
  en: {
    notice: "Research use only. Not a medical device.", film: "Film", open: "Open …", example: "Example", invert: "Invert",
    fit: "Fit", fullscreen: "Full screen", brightness: "Brightness", contrast: "Contrast", opacity: "Evidence",
    palette: "Colours", redblue: "red – blue", orangepurple: "orange – purple", scaled: "times probability",
    drop: "Drop a radiograph here: DICOM, PNG or JPEG", findings: "Findings", question: "Question the decision",
    ring: "Without the outermost ring", sufficient: "Smallest set that carries it", flip: "Without the smallest set that flips it",
    undo: "Undo", reset: "All patches back", rule: "A removed patch", ruledrop: "is left out", ruleneutral: "abstains",
    savejson: "Save JSON", savepng: "Save picture", keytitle: "This service asks for a key", key: "API key", go: "Go on",
    keys: "Arrow keys move over the patches, space removes or returns one, plus and minus zoom, u undoes, r brings all back, page up and page down change the finding, i inverts, f fits.",
    working: "Working …", unreachable: "The service cannot be reached. Trying again …", back: "The service is back.",
    exact: "mean of the grid {mean} = logit {logit}; removed {count} of {all}",
    cell: "row {row}, column {column}: {logit} logits, {share} of the decision", untrained: "not trained",
    imported: "not validated here", validated: "validated", none: "None of these sets exists for this finding.",
    border: "Over a third of the evidence lies in the outermost ring of patches: markers and edges are there.",
    noexample: "The example film is not installed with this service.",
  },
  de: {
    notice: "Nur für die Forschung. Kein Medizinprodukt.", film: "Aufnahme", open: "Öffnen …", example: "Beispiel",
    invert: "Invertieren", fit: "Einpassen", fullscreen: "Vollbild", brightness: "Helligkeit", contrast: "Kontrast",
    opacity: "Evidenz", palette: "Farben", redblue: "rot – blau", orangepurple: "orange – violett",
    scaled: "mal Wahrscheinlichkeit", drop: "Röntgenaufnahme hierher ziehen: DICOM, PNG oder JPEG", findings: "Befunde",
    question: "Die Entscheidung hinterfragen", ring: "Ohne den äußersten Ring", sufficient: "Kleinste Menge, die sie trägt",
    flip: "Ohne die kleinste Menge, die sie kippt", undo: "Rückgängig", reset: "Alle Felder zurück",
    rule: "Ein entferntes Feld", ruledrop: "zählt nicht mit", ruleneutral: "enthält sich", savejson: "JSON speichern",
    savepng: "Bild speichern", keytitle: "Dieser Dienst verlangt einen Schlüssel", key: "API-Schlüssel", go: "Weiter",
    keys: "Pfeiltasten bewegen über die Felder, Leertaste entfernt eines oder holt es zurück, Plus und Minus zoomen, u macht rückgängig, r holt alle zurück, Bild auf und Bild ab wechseln den Befund, i invertiert, f passt ein.",
    working: "Rechnet …", unreachable: "Der Dienst ist nicht erreichbar. Neuer Versuch …", back: "Der Dienst ist wieder da.",
    exact: "Mittel des Rasters {mean} = Logit {logit}; entfernt {count} von {all}",
    cell: "Zeile {row}, Spalte {column}: {logit} Logits, {share} der Entscheidung", untrained: "nicht trainiert",
    imported: "hier nicht geprüft", validated: "geprüft", none: "Für diesen Befund gibt es keine solche Menge.",
    border: "Über ein Drittel der Evidenz liegt im äußersten Ring der Felder: dort sind Marken und Ränder.",
    noexample: "Die Beispielaufnahme ist bei diesem Dienst nicht installiert.",
  },
};

export const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
