"""Cut a long text into memories: sentences, and the clauses of sentences too long to be one memory."""

from __future__ import annotations

import re

LONGEST = 220  # characters; longer ones strung together by ";" or ", and" tell more than one thing
SHORTEST = 40  # characters; no clause is cut shorter than this

# what the segmenter takes for an end: initials, old short forms of names, sums of money ("l.", "s.", "d.")
_NOT_AN_END = re.compile(
    r"(?:\b(?:[A-Z]|M[rs]|Mrs|Dr|St|Sir|Mons|Coll?|Capt|Cap|Lieut|Ld|Lds|Wm|Will|Thos?|Jas|Jos|Geo|Chas|Rich|Edwd?|Robt|Nich"
    r"|Jno|Matt|Ch|Hon|Rev|Esq|viz|No)|&c|\b\d+[lsd])\.$"
)
_HEADING = re.compile(  # "4th.", "March 1st.", "8th (Lord's day)."
    r"(?:[A-Z][a-z]+\.? )?\d{1,2}(?:st|nd|rd|th|d)?\.?(?:\s*\([^()]{1,30}\))?\.?$", re.IGNORECASE
)
_CLAUSE = re.compile(r"(?<=[;:])\s+")
_PART = re.compile(r"(?<=,)\s+(?=(?:and|but|so|then|where|which|who|for|that)\b)")


def sentences(text: str) -> list[str]:
    """Return the memories in `text` in their order, none of them empty; only white space is lost."""
    return [clause for sentence in _whole_sentences(text) for clause in _clauses(sentence)]


def _whole_sentences(text: str) -> list[str]:
    import sentencex

    found: list[str] = []
    heading = ""
    for raw in sentencex.segment("en", text):
        piece = raw.strip()
        if not piece:
            continue
        if _HEADING.match(piece):
            heading = f"{heading}{piece} "
        elif found and not heading and _continues(found[-1], piece):
            found[-1] += piece if piece[0] in ",;:)" else f" {piece}"
        else:
            found.append(heading + piece)
            heading = ""
    if heading:
        found.append(heading.strip())
    return found


def _continues(before: str, piece: str) -> bool:
    is_mark = not any(character.isalnum() for character in piece)
    return is_mark or piece[0] in ",;:)&-" or piece[0].islower() or _NOT_AN_END.search(before) is not None


def _clauses(sentence: str) -> list[str]:
    """Halve a long sentence at the boundary nearest its middle, and each half again while it is too long."""
    if len(sentence) <= LONGEST:
        return [sentence]
    for boundary in (_CLAUSE, _PART):
        cuts = [
            cut.span()
            for cut in boundary.finditer(sentence)
            if cut.start() >= SHORTEST and len(sentence) - cut.end() >= SHORTEST
        ]
        if cuts:
            left, right = min(cuts, key=lambda cut: abs(cut[0] - len(sentence) / 2))
            return _clauses(sentence[:left]) + _clauses(sentence[right:])
    return [sentence]
