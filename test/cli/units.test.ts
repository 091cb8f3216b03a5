// Sizes and durations as users write them, and as they are shown.
import { describe, expect, it } from 'vitest'
import { formatDuration, formatSize, ofOption, parseCount, parseDuration, parseSize } from '../../src/cli/units.ts'

describe('sizes', () => {
  it.each([
    ['0', 0],
    ['1048576', 1 << 20],
    ['1024K', 1 << 20],
    ['1M', 1 << 20],
    ['1MiB', 1 << 20],
    ['8m', 8 << 20],
    ['1.5G', 1.5 * 2 ** 30],
    ['2TiB', 2 ** 41],
    ['512B', 512],
  ])('%s is understood', (text, bytes) => expect(parseSize(text)).toBe(bytes))

  it.each(['', 'x', '-1', '1X', '1MB', '1 2', '0.3', '1e3'])('%j is refused', (text) =>
    expect(() => parseSize(text)).toThrow('is not a size'),
  )

  it('that are too large to count are told so', () => {
    expect(parseSize('8191T')).toBe(8191 * 2 ** 40)
    for (const text of ['8192T', '99999999T', '9007199254740992'])
      expect(() => parseSize(text)).toThrow(`'${text}' is too large`)
  })

  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [1000 * 1024, '1 MiB'],
    [3 * 2 ** 30, '3 GiB'],
    [5 * 2 ** 40, '5 TiB'],
  ])('%d is shown as %s', (bytes, text) => expect(formatSize(bytes)).toBe(text))
})

describe('durations', () => {
  it.each([
    ['5', 5000],
    ['0.5', 500],
    ['250ms', 250],
    ['30s', 30_000],
    ['2m', 120_000],
    ['1h', 3_600_000],
  ])('%s is understood', (text, ms) => expect(parseDuration(text)).toBe(ms))

  it.each(['', 'five', '-5', '5d', '1 h 2'])('%j is refused', (text) =>
    expect(() => parseDuration(text)).toThrow('is not a time'),
  )

  it.each([
    [0, '0 s'],
    [59_999, '59 s'],
    [125_000, '2 min 5 s'],
    [15_000_000, '4 h 10 min'],
    [266_400_000, '3 d 2 h'],
  ])('%d ms are shown as %s', (ms, text) => expect(formatDuration(ms)).toBe(text))
})

it('counts are whole numbers with a least', () => {
  expect(parseCount('20', 1)).toBe(20)
  for (const text of ['0', '1.5', '-1', 'x', '']) expect(() => parseCount(text, 1)).toThrow('whole number')
})

it('what is wrong with the value of an option names the option', () => {
  expect(ofOption('memory', parseSize)('64M')).toBe(64 << 20)
  expect(() => ofOption('memory', parseSize)('much')).toThrow(/^--memory: 'much' is not a size/)
})
