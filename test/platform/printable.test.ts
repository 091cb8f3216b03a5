// Names in messages: of whatever bytes, on one line.
import { expect, it } from 'vitest'
import { printable } from '../../src/platform/index.ts'

it('shows names as they are, but what is no printable text as \\x and two digits', () => {
  const shown = (name: string | number[]) => printable(Buffer.from(name as string))
  expect(['a b', 'Grüße', '日本', '\u{1f600}'].map(shown)).toEqual(['a b', 'Grüße', '日本', '\u{1f600}'])
  expect(shown('two\nlines')).toBe('two\\x0alines')
  expect(shown('\u001b[31mred')).toBe('\\x1b[31mred')
  expect(shown('\u009b31mred')).toBe('\\xc2\\x9b31mred')
  expect(shown('\\x0a')).toBe('\\x5cx0a')
  expect(shown([0x61, 0xff, 0xfe])).toBe('a\\xff\\xfe')
})
