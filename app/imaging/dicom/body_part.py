"""Which texts of Body Part Examined name the chest.

Texts are compared by words, without accents, case and separators. A text names the chest if it consists of a name of
the chest and of words for view, side, equipment or position. CHESTABDOMEN, CHESTABDPELVIS and texts with another body
part are not accepted: such a radiograph shows more than the model was trained on.
"""

import re
import unicodedata
from collections.abc import Iterable

_SHOWN_LENGTH = 64

# CHEST is the Defined Term of PS3.16 Annex L; the others are words for chest and lung in the languages of devices.
_CHEST = (
    *("CHEST", "THORAX", "LUNG", "LUNGS", "THORACIC CAVITY", "CXR"),
    *("BRUSTKORB", "BRUSTRAUM", "LUNGE", "LUNGEN"),  # German
    *("POITRINE", "POUMON", "POUMONS"),  # French
    *("TÓRAX", "PECHO", "PULMÓN", "PULMONES", "PEITO", "PULMÃO", "PULMÕES"),  # Spanish, Portuguese
    *("TORACE", "PETTO", "POLMONE", "POLMONI", "PLĂMÂNI"),  # Italian, Romanian
    *("BORSTKAS", "LONGEN", "BRÖSTKORG", "LUNGOR", "BRYSTKASSE", "LUNGER"),  # Dutch, Swedish, Danish, Norwegian
    *("RINTAKEHÄ", "KEUHKOT", "MELLKAS", "TÜDŐ"),  # Finnish, Hungarian
    *("KLATKA PIERSIOWA", "KLATKI PIERSIOWEJ", "PŁUCA", "HRUDNÍK", "PLÍCE", "PĽÚCA"),  # Polish, Czech, Slovak
    *("TORAKS", "AKCİĞER", "GRUDNI KOŠ", "PLUĆA"),  # Turkish, Croatian, Serbian
    *("ΘΩΡΑΚΑΣ", "ΘΩΡΑΚΑ", "ΘΩΡΑΞ", "ΘΩΡΑΚΟΣ", "ΠΝΕΥΜΟΝΕΣ"),  # Greek
    *("ГРУДНАЯ КЛЕТКА", "ГРУДНОЙ КЛЕТКИ", "ОРГАНЫ ГРУДНОЙ КЛЕТКИ", "ОГК", "ЛЕГКИЕ", "ТОРАКС"),  # Russian
    *("ГРУДНА КЛІТКА", "ЛЕГЕНІ", "ГРЪДЕН КОШ", "ГРУДНИ КОШ"),  # Ukrainian, Bulgarian, Serbian
    *("胸", "胸部", "胸腔", "胸片", "肺", "肺部", "肺野"),  # Chinese, Japanese
    *("흉부", "폐", "الصدر", "صدر", "חזה"),  # Korean, Arabic, Hebrew
)
# Words that stand beside the name of the chest: views, positions, sides, places, equipment, patients.
_QUALIFIER_TEXT = (
    "PA, AP, P A, A P, LAT, LATERAL, LATERALE, LATERALES, LL, RL, LLAT, RLAT, LLD, RLD, FRONTAL, "
    "POSTEROANTERIOR, ANTEROPOSTERIOR, OBLIQUE, OBLIQUES, OBL, LPO, RPO, LAO, RAO, DECUBITUS, DECUB, "
    "DECUBITO, LORDOTIC, APICAL, FACE, PROFIL, PROFILE, PERFIL, FRENTE, SEITLICH, DUE PROIEZIONI, ZWEI "
    "EBENEN, 2 EBENEN, UPRIGHT, ERECT, STANDING, SITTING, SEATED, SUPINE, PRONE, LYING, SEMI, SEMIERECT, "
    "STEHEND, LIEGEND, BED, BEDSIDE, BETT, LIT, AU LIT, LETTO, TABLE, WALL BUCKY, BUCKY, STAND, ICU, "
    "NICU, PICU, ER, PORT, PORTABLE, PORTATIL, MOBILE, VIEW, VIEWS, VW, VWS, SINGLE, ONE, TWO, 1, 2, 3, "
    "1V, 2V, 1VW, 2VW, AND, OR, TO, W, WITH, Y, E, ET, UND, IN, LEFT, RIGHT, L, R, LT, RT, LEFT SIDE, "
    "RIGHT SIDE, BOTH, BILATERAL, INSP, INSPIRATION, EXP, EXPIRATION, GRID, NO GRID, NONGRID, ADULT, "
    "CHILD, PED, PEDS, PEDIATRIC, PAEDIATRIC, INFANT, NEONATE, NEONATAL, ROUTINE, X RAY, XRAY, XR, RX, "
    "CR, DX, DR, RTG, RADIOGRAPH, RADIOGRAPHIE, ROENTGEN, RÖNTGEN, РЕНТГЕН, ПРЯМАЯ, БОКОВАЯ, ПРОЕКЦИЯ, "
    "正位, 側位, 侧位, 正侧位, X線, X光, 正面, 側面, 后前位, 後前位, "
    "前后位, 前後位, 立位, 卧位, 臥位, 座位, 坐位, 床旁, ポータブル, 정면, 측면"
)
_QUALIFIERS = _QUALIFIER_TEXT.split(", ")
# A text of these alone names no body part.
_VIEWS = frozenset(
    "PA AP LAT LATERAL LL RL FRONTAL UPRIGHT ERECT SUPINE BED PORT PORTABLE VIEW".split()  # noqa: SIM905 - to be read
)
_LETTERS = str.maketrans({"Ł": "L", "Ø": "O", "Đ": "D", "Æ": "AE", "Œ": "OE"})
_LOOKS_LIKE_A_PERSON = re.compile(r"[\^=]|\d{4}")


def is_chest(text: str | None, more: Iterable[str] = ()) -> bool:
    """Whether a Body Part Examined names the chest, or nothing at all. ``more`` are further names of the chest."""
    text = text or ""
    words = _normalised(text)
    names = sorted({*_CHEST_WORDS, *map(_normalised, more)} - {""}, key=len, reverse=True)
    without_names = _without(words, names)
    rest = _without(without_names, _QUALIFIER_PHRASES).replace("|", " ").split()
    if rest:
        return all(_is_compound(word) for word in rest)
    # Symbols of an unknown character set are not the same as no body part.
    return without_names != words or (text.isascii() and set(words.split()) <= _VIEWS)


def shown(text: str) -> str | None:
    """A body part as facts and refusals quote it: upper case, printable, at most 64 characters; None without letters.

    None also for text that looks like a person's name or a number, which damage can shift into any attribute.
    """
    if not _normalised(text) or _LOOKS_LIKE_A_PERSON.search(text):
        return None
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split()).upper()[:_SHOWN_LENGTH].strip() or None


def _normalised(text: str) -> str:
    """Words in upper case without accents, separated by single spaces."""
    decomposed = unicodedata.normalize("NFKD", text.upper())
    letters = "".join(character for character in decomposed if not unicodedata.combining(character))
    composed = unicodedata.normalize("NFC", letters).upper().translate(_LETTERS)
    return " ".join(re.findall(r"[^\W_]+", composed))


def _without(words: str, phrases: Iterable[str]) -> str:
    """Replace whole phrases by ``|``, so that the words around them do not form new phrases."""
    padded = f" {words} "
    for phrase in phrases:
        while f" {phrase} " in padded:
            padded = padded.replace(f" {phrase} ", " | ")
    return padded.strip()


def _is_compound(word: str) -> bool:
    """Whether a word is a name of the chest joined with qualifiers, such as CHESTPA or 胸部正位."""
    return any(
        _are_qualifiers(rest)
        for chest in _CHEST_WORDS
        for rest in (word.removeprefix(chest), word.removesuffix(chest))
        if rest != word
    )


def _are_qualifiers(text: str) -> bool:
    return text in _QUALIFIER_SET and (len(text) > 1 or not text.isascii())


_CHEST_WORDS = frozenset(map(_normalised, _CHEST))
_QUALIFIER_SET = frozenset(map(_normalised, _QUALIFIERS))
_QUALIFIER_PHRASES = sorted(_QUALIFIER_SET, key=len, reverse=True)
