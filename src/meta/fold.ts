// Folding of names for case-insensitive directories, as the kernel does it for ext4 and f2fs (fs/unicode/utf8-norm.c with
// the tables of mkutf8data.c, "nfdicf"): each code point is case folded (Case_Folding C and F) and canonically decomposed,
// Default_Ignorable_Code_Points are dropped, and combining marks are put in canonical order. Unicode 12.1.0, whatever
// version the machine's own tables have: volumes outlive them.
//
// Must stay true:
// - The fold of a name never changes: it is hashed into keys. Stability of Unicode guarantees that of `normalize` for code
//   points assigned in 12.1.0; others never reach it.
// - fold(fold(x)) = fold(x); a name of ASCII costs one pass over its bytes.
// - Marks are not reordered across a dropped or an unassigned code point ("empty decomposition implies CCC 0"), nor is a
//   name decomposed before it is folded: U+0345 folds to a letter, and marks behind it stay behind it.
import { COMMON, FULL, IGNORABLE, UNASSIGNED } from './fold-table.ts'

const CASE_BIT = 0x20

/** The bytes that all spellings of a name share; null when the name is not UTF-8 and has one spelling only. May be the
 *  name itself. A name of ignorable code points alone folds to no bytes. */
export function foldName(name: Uint8Array): Uint8Array | null {
  const ascii = foldAscii(name)
  if (ascii !== null) return ascii
  let text: string
  try {
    text = decoder.decode(name)
  } catch {
    return null
  }
  return encoder.encode(foldText(text))
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

/** Null where a byte is not ASCII. */
function foldAscii(name: Uint8Array): Uint8Array | null {
  let folded: Uint8Array | null = null
  for (let at = 0; at < name.length; at++) {
    const byte = name[at]!
    if (byte >= 0x80) return null
    if (byte < 0x41 || byte > 0x5a) continue
    folded ??= Uint8Array.from(name)
    folded[at] = byte | CASE_BIT
  }
  return folded ?? name
}

function foldText(text: string): string {
  let folded = ''
  /** Code points among which marks may change places. */
  let piece = ''
  const endPiece = () => {
    folded += piece.normalize('NFD')
    piece = ''
  }
  for (const character of text) {
    const expanded = expansionOf(character)
    if (expanded === null) {
      endPiece()
      folded += character
    } else if (expanded === '') endPiece()
    else piece += expanded
  }
  endPiece()
  return folded
}

/** What folding and decomposition make of one code point, marks not yet in order; '' when it is dropped, null when it is
 *  unassigned and stands for itself. */
function expansionOf(character: string): string | null {
  const known = expansions.get(character)
  if (known !== undefined) return known
  const expanded = expand(character)
  if (expansions.size === EXPANSIONS_MAX) expansions.clear()
  expansions.set(character, expanded)
  return expanded
}

/** Names of one place use few scripts; a name that walks through all of Unicode must not make this grow. */
const EXPANSIONS_MAX = 4096
const expansions = new Map<string, string | null>()

function expand(character: string): string | null {
  const { ignorable, unassigned, folds } = tables()
  const point = character.codePointAt(0)!
  if (isIn(ignorable, point)) return ''
  if (isIn(unassigned, point)) return null
  let expanded = ''
  for (const part of (folds.get(point) ?? character).normalize('NFD')) {
    // What a decomposition brings folds too.
    expanded += folds.get(part.codePointAt(0)!)?.normalize('NFD') ?? part
  }
  return expanded
}

interface Tables {
  /** Begin and end of each range, in order. */
  ignorable: Uint32Array
  unassigned: Uint32Array
  folds: Map<number, string>
}

let unpacked: Tables | null = null

/** Unpacked when the first name needs it. */
function tables(): Tables {
  unpacked ??= {
    ignorable: decodeRanges(IGNORABLE),
    unassigned: decodeRanges(UNASSIGNED),
    folds: decodeFolds(),
  }
  return unpacked
}

const numbersIn = (text: string) => text.split(' ').map((word) => Number.parseInt(word, 36))

function decodeRanges(text: string): Uint32Array {
  let at = 0
  return Uint32Array.from(numbersIn(text), (distance) => {
    at += distance
    return at
  })
}

function decodeFolds(): Map<number, string> {
  const folds = new Map<number, string>()
  const runs = numbersIn(COMMON)
  let at = 0
  for (let index = 0; index < runs.length; index += 4) {
    const [distance, count, step, delta] = runs.slice(index, index + 4) as [number, number, number, number]
    at += distance
    for (let number = 0; number < count; number++, at += step) folds.set(at, String.fromCodePoint(at + delta))
    at -= step
  }
  for (const entry of FULL.split(',')) {
    const [from, ...to] = numbersIn(entry) as [number, ...number[]]
    folds.set(from, String.fromCodePoint(...to))
  }
  return folds
}

/** Whether a code point lies in one of the ranges. */
function isIn(ranges: Uint32Array, point: number): boolean {
  let low = 0
  let high = ranges.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ranges[middle]! <= point) low = middle + 1
    else high = middle
  }
  return low % 2 === 1
}
