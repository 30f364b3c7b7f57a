// The Unicode properties that BERT's tokeniser uses, equal in all browsers.
//
// A browser knows a newer Unicode than the tokeniser, and which one depends on its age. The tables below correct it:
// classes as in Unicode 8, decompositions as in Unicode 9, lower case as in Unicode 17.
// They are those of minimobilebert/text/unicode_classes.py, where the reasons are.

// Marks, punctuation and control characters that are newer than Unicode 8: letters, for the tokeniser. First, last.
const AFTER_UNICODE_8 = [
  [0x5c8, 0x5c9], [0x61d, 0x61d], [0x7fd, 0x7fd], [0x890, 0x8e2], [0x9fd, 0x9fe], [0xa76, 0xa76], [0xafa, 0xaff],
  [0xb53, 0xb55], [0xc04, 0xc04], [0xc3c, 0xc3c], [0xc77, 0xc77], [0xc84, 0xc84], [0xd00, 0xd00], [0xd3b, 0xd3c],
  [0xd81, 0xd81], [0xeba, 0xeba], [0xece, 0xece], [0x180f, 0x1886], [0x1abf, 0x1af0], [0x1b4e, 0x1b4f],
  [0x1b7d, 0x1b7f], [0x1df6, 0x1dfb], [0x2e43, 0x2e63], [0xa82c, 0xa82c], [0xa8c5, 0xa8c5], [0xa8ff, 0xa8ff],
  [0xa9bd, 0xa9bd], [0x10d24, 0x10f89], [0x11070, 0x11074], [0x110c2, 0x110cd], [0x111cf, 0x111cf],
  [0x1123e, 0x11241], [0x1133b, 0x1133b], [0x113bb, 0x1145e], [0x11660, 0x1166c], [0x116b9, 0x116b9],
  [0x1182f, 0x11fff], [0x12ff1, 0x1612f], [0x16d6d, 0x16f4f], [0x16fe2, 0x16fe4], [0x1cf00, 0x1cf46],
  [0x1d127, 0x1d128], [0x1d25b, 0x1d25c], [0x1e000, 0x1e5ff], [0x1e6e3, 0x1e6f5], [0x1e944, 0x1e95f],
];
const CLASS_IN_UNICODE_8 = new Map([[0x111c9, "P"], [0x166d, "P"], [0x1734, "Mn"], [0x1171e, "Mn"]]);

const DECOMPOSED_AFTER_UNICODE_9 = [
  [0x105c9, 0x105c9], [0x105e4, 0x105e4], [0x11383, 0x113c8], [0x11938, 0x11938], [0x16121, 0x16128],
  [0x16d68, 0x16d6a],
];

// Combining characters that are kept, so that their order matters. First, last, combining class.
const COMBINING = [
  [0x8d4, 0x8e1, 230], [0x1b44, 0x1b44, 9], [0x1baa, 0x1baa, 9], [0x1bf2, 0x1bf3, 9], [0x1dfb, 0x1dfb, 230],
  [0x302e, 0x302f, 224], [0xa953, 0xa953, 9], [0xa9c0, 0xa9c0, 9], [0x111c0, 0x111c0, 9], [0x11235, 0x11235, 9],
  [0x1134d, 0x1134d, 9], [0x11442, 0x11442, 9], [0x11446, 0x11446, 7], [0x116b6, 0x116b6, 9], [0x11c3f, 0x11c3f, 9],
  [0x1d165, 0x1d166, 216], [0x1d16d, 0x1d16d, 226], [0x1d16e, 0x1d172, 216], [0x1e000, 0x1e006, 230],
  [0x1e008, 0x1e018, 230], [0x1e01b, 0x1e021, 230], [0x1e023, 0x1e024, 230], [0x1e026, 0x1e02a, 230],
  [0x1e944, 0x1e949, 230], [0x1e94a, 0x1e94a, 7],
];

// Capital letters of Unicode 15 to 17, for older browsers: first, last, the lower case of the first.
const CAPITALS = [
  [0x1c89, 0x1c89, 0x1c8a], [0xa7cb, 0xa7cb, 0x264], [0xa7cc, 0xa7cc, 0xa7cd], [0xa7ce, 0xa7ce, 0xa7cf],
  [0xa7d2, 0xa7d2, 0xa7d3], [0xa7d4, 0xa7d4, 0xa7d5], [0xa7da, 0xa7da, 0xa7db], [0xa7dc, 0xa7dc, 0x19b],
  [0x10d50, 0x10d65, 0x10d70], [0x16ea0, 0x16eb8, 0x16ebb],
];

export function within(code, ranges) {
  return ranges.some(([first, last]) => first <= code && code <= last);
}

// The general category, as far as the tokeniser asks for it: "Mn" marks, "P" punctuation, "Z" spaces, "C" control and
// private characters, "L" all others.
function category(character) {
  const code = character.codePointAt(0);
  if (within(code, AFTER_UNICODE_8)) return "L";
  if (CLASS_IN_UNICODE_8.has(code)) return CLASS_IN_UNICODE_8.get(code);
  if (/\p{Mn}/u.test(character)) return "Mn";
  if (/\p{P}/u.test(character)) return "P";
  if (/\p{Zs}/u.test(character)) return "Z";
  if (/[\p{Cc}\p{Cf}\p{Co}]/u.test(character)) return "C";
  return "L";
}

export const isMark = (character) => category(character) === "Mn";
export const isSpace = (character) => "\t\n\r".includes(character) || category(character) === "Z";
export const isControl = (character) => character === "\ufffd" || category(character) === "C";

// Unicode punctuation and, as in BERT, all ASCII symbols such as "$" and "^".
export function isPunctuation(character) {
  if (character < "\x80") return /[!-/:-@[-`{-~]/.test(character);
  return category(character) === "P";
}

// The canonical decomposition (NFD) of one character: "é" -> "e" and a mark.
export function decompose(character) {
  return within(character.codePointAt(0), DECOMPOSED_AFTER_UNICODE_9) ? character : character.normalize("NFD");
}

// The lower case of one character, whatever its neighbours are.
export function lower(character) {
  const code = character.codePointAt(0);
  const found = CAPITALS.find(([first, last]) => first <= code && code <= last);
  return found ? String.fromCodePoint(code - found[0] + found[2]) : character.toLowerCase();
}

// The canonical combining class of a character that is kept; 0 for a base character.
export function combiningClass(character) {
  const code = character.codePointAt(0);
  const found = COMBINING.find(([first, last]) => first <= code && code <= last);
  return found ? found[2] : 0;
}

// Whether a mark (Mn) has a combining class other than 0. JavaScript does not tell the class, but it sorts marks by it:
// U+0334 has the class 1, the lowest, and is sorted before any other; U+0301 has 230.
export function isCombiningMark(character) {
  const sorted = (text) => text.normalize("NFD") !== text;
  return isMark(character) && (sorted(character + "\u0334") || sorted("\u0301" + character));
}
