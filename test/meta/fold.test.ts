// Folding against the kernel's rules: a table of names that are one, and of names that are two, written from fs/unicode of
// Linux (utf8-norm.c, utf8-core.c and the generator's mkutf8data.c, with Unicode 12.1.0).
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { foldName } from '../../src/meta/fold.ts'

const fold = (name: string | readonly number[]): string =>
  Buffer.from(foldName(typeof name === 'string' ? Buffer.from(name) : Uint8Array.from(name)) ?? []).toString('hex')

/** What it shows, one spelling, another. */
const SAME: readonly (readonly [string, string, string])[] = [
  ['ASCII', 'README.TXT', 'readme.txt'],
  ['digits and signs stay', 'A-1_b (C).Ö', 'a-1_B (c).ö'],
  ['the letters around the ASCII case bit', '@AZ[`az{', '@az[`az{'],
  ['Latin-1', 'ÄÖÜÉÑÇÞÆØ', 'äöüéñçþæø'],
  ['composed and decomposed', 'é', 'e\u0301'],
  ['composed upper and decomposed lower', 'É', 'e\u0301'],
  ['decomposed upper and composed lower', 'E\u0301', 'é'],
  ['sharp s, full folding', 'STRASSE', 'straße'],
  ['capital sharp s', 'ẞ', 'ss'],
  ['capital sharp s and small', 'ẞ', 'ß'],
  ['I with dot above is i and a dot', 'İ', 'i\u0307'],
  ['I with dot above, decomposed', 'I\u0307', 'İ'],
  ['the Angstrom sign', '\u212B', 'å'],
  ['A with ring', 'Å', 'a\u030A'],
  ['the Kelvin sign', '\u212A', 'k'],
  ['the Ohm sign', '\u2126', 'ω'],
  ['the micro sign', '\u00B5', 'μ'],
  ['long s', '\u017F', 's'],
  ['long s with dot above', '\u1E9B', 'ṡ'],
  ['ligature fi', '\uFB01', 'fi'],
  ['ligature ffl, upper', '\uFB04', 'FFL'],
  ['ligature st and long st', '\uFB05', '\uFB06'],
  ['n preceded by an apostrophe', '\u0149', '\u02BCn'],
  ['j with caron', '\u01F0', 'J\u030C'],
  ['DZ, title case and lower', '\u01C5', '\u01C6'],
  ['LJ, upper and title case', '\u01C7', '\u01C8'],
  ['final sigma', 'ΣΑΣ', 'σας'],
  ['lunate and other Greek symbols', 'ϐϑϕϖϰϱϵ', 'βθφπκρε'],
  ['Greek with tonos, composed and not', 'ΆΈΉ', 'α\u0301ε\u0301η\u0301'],
  ['dialytika and tonos', '\u0390', 'ι\u0308\u0301'],
  ['the same by its other code point', '\u1FD3', '\u0390'],
  ['iota subscript is iota', 'ᾳ', 'αι'],
  ['capital with prosgegrammeni', 'ᾼ', 'ΑΙ'],
  ['alpha with psili and iota', 'ᾀ', 'ἀι'],
  ['omega with all of it', 'ᾧ', 'ὧι'],
  ['combining ypogegrammeni', 'α\u0345', 'αι'],
  ['Cyrillic', 'ПРИВЕТ', 'привет'],
  ['short i, composed and not', 'Й', 'и\u0306'],
  ['Cyrillic small variants', '\u1C80\u1C81\u1C88', 'вд\uA64B'],
  ['Armenian', 'ԱԲԳ', 'աբգ'],
  ['Armenian ligature ech yiwn', '\u0587', 'ԵՒ'],
  ['Armenian ligature men now', '\uFB13', 'ՄՆ'],
  ['Georgian Mtavruli, new in 11.0', '\u1C90\u1C91', '\u10D0\u10D1'],
  ['Georgian Asomtavruli', '\u10A0', '\u2D00'],
  ['Cherokee small letters fold to the old ones', '\uAB70\u13F8', '\u13A0\u13F0'],
  ['Deseret, beyond the basic plane', '\u{10400}', '\u{10428}'],
  ['Osage', '\u{104B0}', '\u{104D8}'],
  ['Old Hungarian', '\u{10C80}', '\u{10CC0}'],
  ['Adlam', '\u{1E900}', '\u{1E922}'],
  ['Medefaidrin, new in 11.0', '\u{16E40}', '\u{16E60}'],
  ['Glagolitic', '\u2C00', '\u2C30'],
  ['Coptic', '\u2C80', '\u2C81'],
  ['full width', 'ＡＢＣ', 'ａｂｃ'],
  ['circled letters', 'Ⓐ', 'ⓐ'],
  ['Roman numerals', 'Ⅷ', 'ⅷ'],
  ['Hangul syllable with a final, and jamo', '각', '\u1100\u1161\u11A8'],
  ['Hangul syllable without a final, and jamo', '가', '\u1100\u1161'],
  ['a syllable and its final alone', '가\u11A8', '각'],
  ['a compatibility ideograph', '\uF900', '\u8C48'],
  ['a compatibility ideograph of another plane', '\u{2F800}', '\u4E3D'],
  ['marks in another order', 'a\u0323\u0301', 'a\u0301\u0323'],
  ['three marks', 'q\u0302\u0323\u0327', 'q\u0327\u0323\u0302'],
  ['Vietnamese', 'ệ', 'ẹ\u0302'],
  ['a soft hyphen is dropped', 'co\u00ADop', 'coop'],
  ['zero width joiner and non-joiner', 'a\u200Db\u200Cc', 'abc'],
  ['an emoji with a variation selector', '\u2764\uFE0F', '\u2764'],
  ['a family held together by joiners', '👩\u200D👧', '👩👧'],
  ['a byte order mark', '\uFEFFname', 'name'],
  ['a Mongolian variation selector', 'ᠠ\u180B', 'ᠠ'],
  ['variation selectors supplement', '\u8FBB\u{E0100}', '\u8FBB'],
  ['Hangul fillers', '\u3164x\u115F', 'x'],
  ['tags', 'x\u{E0041}', 'x'],
  ['an unassigned code point is itself', '\u0378', '\u0378'],
]

const DIFFERENT: readonly (readonly [string, string, string])[] = [
  ['an accent counts', 'resume', 'résumé'],
  ['dotless i is a letter of its own', 'ı', 'i'],
  ['dotless i is not capital I', 'ı', 'I'],
  ['I with dot is not i', 'İ', 'i'],
  ['compatibility forms are not folded', 'ﾊ', 'ハ'],
  ['nor are superscripts', '²', '2'],
  ['full width is not ASCII', 'Ａ', 'A'],
  ['Latin A is not Cyrillic A', 'A', 'А'],
  ['a space counts', 'a b', 'ab'],
  ['a no-break space is not a space', 'a\u00A0b', 'a b'],
  ['letters that Unicode 13 made a pair stay two', '\uA7C7', '\uA7C8'],
  ['letters that Unicode 14 made a pair stay two', '\u2C2F', '\u2C5F'],
  ['a mark of Unicode 13 is not put in order', 'a\u1ABF\u0301', 'a\u0301\u1ABF'],
  ['marks with the same class keep their order', 'a\u0301\u0308', 'a\u0308\u0301'],
  ['marks are not put in order across what is dropped', 'a\u0301\u034F\u0323', 'a\u0323\u0301'],
  ['a mark behind the iota subscript stays behind it', 'α\u0345\u0301', 'ά\u0345'],
  ['emoji with other skin', '👍🏽', '👍'],
  ['flags', '🇩🇪', '🇩🇰'],
]

describe('names that are one', () => {
  test.each(SAME)('%s: %s and %s', (_what, one, other) => {
    expect(fold(one)).toBe(fold(other))
  })
})

describe('names that are two', () => {
  test.each(DIFFERENT)('%s: %s and %s', (_what, one, other) => {
    expect(fold(one)).not.toBe(fold(other))
  })
})

test.each([
  ['a lone continuation byte', [0x61, 0x80]],
  ['an overlong slash', [0xc0, 0xaf]],
  ['a surrogate', [0xed, 0xa0, 0x80]],
  ['past the last code point', [0xf4, 0x90, 0x80, 0x80]],
  ['a sequence cut short', [0x41, 0xe2, 0x82]],
  ['Latin-1', [0x47, 0xfc]],
])('a name that is not UTF-8 has no fold: %s', (_what, bytes) => {
  expect(foldName(Uint8Array.from(bytes))).toBeNull()
})

test('known folds, byte by byte', () => {
  const text = (name: string) => Buffer.from(foldName(Buffer.from(name)) as Uint8Array).toString()
  expect(text('Straße')).toBe('strasse')
  expect(text('ÅÉ')).toBe('a\u030Ae\u0301')
  expect(text('\u200D')).toBe('')
  expect(text('\u0378\u0301')).toBe('\u0378\u0301')
})

test('folding what is folded changes nothing', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 20 }), (text) => {
      const once = foldName(Buffer.from(text)) as Uint8Array
      expect(Buffer.from(foldName(once) as Uint8Array).equals(once)).toBe(true)
    }),
    { numRuns: 2_000 },
  )
})

test('the name given in is never changed', () => {
  const name = Buffer.from('ABC')
  foldName(name)
  expect(name.toString()).toBe('ABC')
})

test('the table is what its script makes of the data of Unicode 12.1.0', () => {
  execFileSync(process.execPath, ['scripts/make-fold-table.mjs', '--check'])
  expect(readFileSync('src/meta/fold-table.ts').length).toBeLessThan(8 << 10)
})
