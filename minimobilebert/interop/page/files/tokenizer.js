// BERT's uncased tokeniser: a text becomes the ids of word pieces.
//
// First words, character by character (as minimobilebert/text/basic_tokenizer.py):
//
//     1. clean        remove control characters, make every kind of space " "
//     2. CJK          put spaces around each Chinese character
//     3. accents      decompose (NFD) and remove the marks: "é" -> "e" + mark -> "e"
//     4. lower case
//     5. punctuation  put spaces around each punctuation character
//     6. split at white space
//
// Then pieces (as minimobilebert/text/wordpiece.py), the longest first:
//
//     unaffable -> un ##aff ##able          "##" marks a piece that continues a word

import { combiningClass, decompose, isCombiningMark, isControl, isMark, isPunctuation, isSpace, lower, within }
  from "./unicode.js";

const MOST_CHARACTERS = 100; // of a word; a longer one becomes [UNK]
const CJK = [
  [0x4e00, 0x9fff], [0x3400, 0x4dbf], [0x20000, 0x2a6df], [0x2a700, 0x2b73f], [0x2b740, 0x2b81f],
  [0x2b920, 0x2ceaf], [0xf900, 0xfaff], [0x2f800, 0x2fa1f],
];

// Steps 1 and 2 for one character
function clean(character) {
  if (isSpace(character)) return " ";
  if (isControl(character)) return "";
  return within(character.codePointAt(0), CJK) ? ` ${character} ` : character;
}

// Steps 3 (after NFD), 4 and 5 for one character
function separate(character) {
  if (isMark(character)) return "";
  return isPunctuation(character) ? ` ${character} ` : lower(character);
}

const table = new Map(); // character -> what steps 1 to 5 make of it

function replacement(character) {
  if (!table.has(character)) {
    const parts = [...clean(character)].flatMap((part) => [...decompose(part)]);
    table.set(character, parts.map(separate).join(""));
  }
  return table.get(character);
}

// A character's decomposition, if it has marks that may have to be sorted
function partsWithMarks(character) {
  const parts = [...decompose(character)];
  return parts.some((part) => combiningClass(part) || isCombiningMark(part)) ? parts : [character];
}

// NFD also sorts neighbouring marks by their combining classes. Step 3 removes nearly all marks, so this matters only
// for the few that are kept.
function inCanonicalOrder(characters) {
  if (!characters.some((character) => combiningClass(character))) return characters;
  const runs = [[]]; // a character of class 0 and the marks behind it that are kept
  for (const character of characters.filter(clean).flatMap(partsWithMarks)) {
    if (isCombiningMark(character)) continue;
    if (combiningClass(character) === 0) runs.push([]);
    runs.at(-1).push(character);
  }
  return runs.flatMap((run) => run.sort((a, b) => combiningClass(a) - combiningClass(b)));
}

// A text -> its words and punctuation characters, in lower case, without accents
export function words(text) {
  return inCanonicalOrder([...text]).map(replacement).join("").split(/\s+/u).filter(Boolean);
}

export class Tokenizer {
  // vocabulary: the text of vocab.txt, one piece a line; the first line has the id 0
  constructor(vocabulary) {
    this.pieces = vocabulary.replace(/\n$/, "").split("\n").map((line) => line.replace(/\r$/, ""));
    this.idOf = new Map(this.pieces.map((piece, id) => [piece, id]));
    [this.unk, this.cls, this.sep, this.mask] = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"].map((t) => this.idOf.get(t));
  }

  // A word -> ids of its pieces: the longest piece that the word starts with, then the same for the rest
  cut(word) {
    const characters = [...word];
    if (characters.length > MOST_CHARACTERS) return [this.unk];
    const ids = [];
    let start = 0;
    while (start < characters.length) {
      let stop = characters.length;
      const piece = () => (start ? "##" : "") + characters.slice(start, stop).join("");
      while (stop > start && !this.idOf.has(piece())) stop -= 1;
      if (stop === start) return [this.unk]; // no piece fits, so the whole word is unknown
      ids.push(this.idOf.get(piece()));
      start = stop;
    }
    return ids;
  }

  // A text -> ids, without [CLS] and [SEP]
  encode(text) {
    return words(text).flatMap((word) => this.cut(word));
  }

  // The same for a text in which [MASK] is the token that the model shall predict
  encodeWithMasks(text) {
    return text.split("[MASK]").flatMap((part, i) => [...(i ? [this.mask] : []), ...this.encode(part)]);
  }

  // One or two lists of ids -> the model's input: [CLS] first [SEP] second [SEP], at most `longest` pieces.
  // The longer list is cut first, as minimobilebert/text/encoding.py does.
  frame(first, second, longest) {
    const texts = second ? [first, second] : [first];
    const room = longest - 1 - texts.length;
    const lengths = keptPieces(first.length, second ? second.length : 0, room);
    const ids = [this.cls];
    const types = [0];
    texts.forEach((text, type) => {
      ids.push(...text.slice(0, lengths[type]), this.sep);
      while (types.length < ids.length) types.push(type);
    });
    return { ids, types, cut: texts.some((text, type) => lengths[type] < text.length) };
  }
}

function keptPieces(first, second, room) {
  if (first + second <= room) return [first, second];
  const shorter = Math.min(first, second, Math.floor(room / 2));
  return first > second ? [room - shorter, shorter] : [shorter, room - shorter];
}
