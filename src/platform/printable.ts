// Names as messages and logs show them: no name may end a line, or speak to a terminal.

const BACKSLASH = 0x5c

/** A name for messages: what is no printable text as \x and two digits. */
export function printable(name: Buffer): string {
  const text = name.toString()
  const isText = Array.from(text, (character) => character.codePointAt(0)!).every(
    (point) => point > 0x1f && !(point >= 0x7f && point <= 0x9f) && point !== 0xfffd && point !== BACKSLASH,
  )
  if (isText) return text
  const isPlain = (byte: number) => byte > 0x1f && byte < 0x7f && byte !== BACKSLASH
  const escaped = (byte: number) => `\\x${byte.toString(16).padStart(2, '0')}`
  return Array.from(name, (byte) => (isPlain(byte) ? String.fromCharCode(byte) : escaped(byte))).join('')
}
