// The text of `-o`: a comma-separated list of NAME and NAME=VALUE, as mount(8) takes it.
//
// Must stay true: a value may hold commas when it is quoted ("a,b") or they are escaped (a\,b), as libmount and libfuse
// write them; a message never shows a value, which might be a secret given to the wrong option.
import { UsageError } from './errors.ts'

export interface OptionWord {
  /** As given, but dashes for underscores: `log_level` and `log-level` are one. */
  name: string
  /** Null for a word without "=". */
  value: string | null
}

/** Splits one -o text. Empty words (as in `rw,,ro`) are left out. */
export function parseOptionString(text: string): OptionWord[] {
  const words: string[] = ['']
  let isQuoted = false
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!
    if (character === '\\' && at + 1 < text.length) words[words.length - 1] += text[++at]!
    else if (character === '"') isQuoted = !isQuoted
    else if (character === ',' && !isQuoted) words.push('')
    else words[words.length - 1] += character
  }
  if (isQuoted) throw new UsageError('a quotation mark in -o is not closed')
  return words.filter((word) => word !== '').map(parseWord)
}

function parseWord(word: string): OptionWord {
  const equals = word.indexOf('=')
  const name = (equals < 0 ? word : word.slice(0, equals)).replaceAll('_', '-')
  return { name, value: equals < 0 ? null : word.slice(equals + 1) }
}
