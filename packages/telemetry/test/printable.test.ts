import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cutMiddle, displayWidth, oneLine, printable, printableJson } from '../src/text/index.js'

const hex = (point: number): string => point.toString(16).toUpperCase()

/**
 * Unicode's format characters and what else is drawn as nothing, written down by hand from UnicodeData.txt (Cc, Cf, Zs, Zl,
 * Zp, Co) and DerivedCoreProperties.txt (Default_Ignorable_Code_Point) of Unicode 16: first and last of each range.
 */
const UNSEEN: readonly (readonly [string, number, number])[] = [
  ['C0 controls', 0x00, 0x1f],
  ['DEL, C1 controls, no-break space', 0x7f, 0xa0],
  ['soft hyphen', 0xad, 0xad],
  ['combining grapheme joiner', 0x34f, 0x34f],
  ['Arabic number signs', 0x600, 0x605],
  ['Arabic letter mark', 0x61c, 0x61c],
  ['Arabic end of ayah', 0x6dd, 0x6dd],
  ['Syriac abbreviation mark', 0x70f, 0x70f],
  ['Arabic pound and piastre marks', 0x890, 0x891],
  ['Arabic disputed end of ayah', 0x8e2, 0x8e2],
  ['Hangul fillers', 0x115f, 0x1160],
  ['Ogham space', 0x1680, 0x1680],
  ['Khmer inherent vowels', 0x17b4, 0x17b5],
  ['Mongolian variation selectors and vowel separator', 0x180b, 0x180f],
  ['spaces, zero width, marks of direction', 0x2000, 0x200f],
  ['line and paragraph separator, embeddings, overrides, narrow space', 0x2028, 0x202f],
  ['mathematical space, word joiner, invisible operators, isolates, deprecated', 0x205f, 0x206f],
  ['braille blank', 0x2800, 0x2800],
  ['ideographic space', 0x3000, 0x3000],
  ['Hangul filler', 0x3164, 0x3164],
  ['surrogates and private use', 0xd800, 0xf8ff],
  ['noncharacters', 0xfdd0, 0xfdef],
  ['variation selectors', 0xfe00, 0xfe0f],
  ['byte order mark', 0xfeff, 0xfeff],
  ['halfwidth Hangul filler', 0xffa0, 0xffa0],
  ['specials, interlinear annotation', 0xfff0, 0xfffb],
  ['noncharacters', 0xfffe, 0xffff],
  ['Kaithi number signs', 0x110bd, 0x110bd],
  ['Kaithi number sign above', 0x110cd, 0x110cd],
  ['hieroglyph format controls', 0x13430, 0x1343f],
  ['shorthand format controls', 0x1bca0, 0x1bca3],
  ['musical format controls', 0x1d173, 0x1d17a],
  ['tags, variation selectors supplement', 0xe0000, 0xe0fff],
  ['private use', 0xf0000, 0x10ffff],
]

const SEEN = /[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u
const MOST_MARKS = 4
/** Escapes of their own, and signs without ink. */
const OTHERS = new Map<number, string | undefined>([
  [0x0a, '\\n'],
  [0x0d, '\\r'],
  [0x09, '\\t'],
  [0x5c, '\\\\'],
  [0x13441, undefined],
  [0x13442, undefined],
  [0x1d159, undefined],
])
const anyText = fc
  .array(fc.integer({ min: 0, max: 0x10ffff }), { maxLength: 12 })
  .map((points) => String.fromCodePoint(...points))

describe('a text from outside', () => {
  test('every code point of Unicode passes as a letter, mark, number, sign or space, or is escaped with its number', () => {
    const listed = new Uint8Array(0x110000)
    for (const [, first, last] of UNSEEN) listed.fill(1, first, last + 1)
    for (let block = 0; block < 0x110000; block += 0x1000) {
      let text = ''
      let shown = ''
      for (let point = block; point < block + 0x1000; point += 1) {
        const character = String.fromCodePoint(point)
        const passes = listed[point] === 0 && SEEN.test(character) && !OTHERS.has(point)
        // Between letters, so that marks have one to stand on and spaces are inner ones.
        text += `a${character}b`
        shown += `a${passes ? character : (OTHERS.get(point) ?? `\\u{${hex(point)}}`)}b`
      }
      expect(printable(text)).toBe(shown)
    }
  })

  test.each(UNSEEN)('%s: no sentence lets it through either', (_name, first, last) => {
    for (const point of [first, last]) {
      expect(oneLine(`a${String.fromCodePoint(point)}b`)).toMatch(/^a\\(?:[nrt]|u\{[0-9A-F]+\})b$/)
    }
  })

  test.each([
    ['a\nsealfleet: DONE: all is well', 'a\\nsealfleet: DONE: all is well'],
    ['\u202egpj.exe', '\\u{202E}gpj.exe'],
    ['a\u001b]0;x\u0007', 'a\\u{1B}]0;x\\u{7}'],
    ['a\\u{202E}', 'a\\\\u{202E}'],
    [' a ', '\\u{20}a\\u{20}'],
    ['\ud800', '\\u{D800}'],
    ['\u{e0041}\u200b\u2060\u061c', '\\u{E0041}\\u{200B}\\u{2060}\\u{61C}'],
    ['Ünïcödé 日本語 עברית 🐟.pdf', 'Ünïcödé 日本語 עברית 🐟.pdf'],
    ['', ''],
  ])('%j is shown as %j', (text, shown) => {
    expect(printable(text)).toBe(shown)
  })

  test('marks: four on a letter pass, a flood does not, and none without a letter before it', () => {
    expect(printable(`a${'\u0301'.repeat(MOST_MARKS)}`)).toBe(`a${'\u0301'.repeat(MOST_MARKS)}`)
    expect(printable(`a${'\u0301'.repeat(6)}b\u0301`)).toBe(`a${'\u0301'.repeat(4)}\\u{301}\\u{301}b\u0301`)
    expect(printable('\u0301a')).toBe('\\u{301}a')
    expect(printable('a \u0301')).toBe('a \\u{301}')
  })

  test('two texts that differ are shown differently, and what is shown is read back', () => {
    const back = (shown: string): string =>
      shown.replace(/\\(?:u\{([0-9A-F]+)\}|([nrt\\]))/g, (_all, point: string | undefined, short: string) =>
        point === undefined
          ? ({ n: '\n', r: '\r', t: '\t' }[short] ?? '\\')
          : String.fromCodePoint(parseInt(point, 16)),
      )
    const nasty = fc.string({
      unit: fc.constantFrom('\\', 'u', '{', '}', '2', 'E', 'n', '\n', ' ', '\u202e', '\u0301', 'é'),
    })
    fc.assert(
      fc.property(fc.oneof(nasty, anyText), (text) => {
        expect(back(printable(text))).toBe(text)
      }),
    )
  })

  test('a sentence that is escaped again stays as it is', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const once = oneLine(`${printable(text)}: ${text}`)
        expect(oneLine(once)).toBe(once)
        expect(oneLine(printable(text))).toBe(printable(text))
      }),
    )
  })

  test('as JSON it stays exactly the same data, without a raw character that a terminal would act on', () => {
    const value = { 'a\u202e\n': ['\u0085\u007f\u2028', '\u{e0041}', 'é\\u{202E}', '日本'] }
    for (const json of [JSON.stringify(value), JSON.stringify(value, null, 2)]) {
      expect(JSON.parse(printableJson(json))).toEqual(value)
      expect(printableJson(json).replaceAll('\n', '')).toMatch(/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]+$/u)
    }
  })
})

describe('columns of a terminal', () => {
  test.each([
    ['abc', 3],
    ['日本', 4],
    ['e\u0301', 1],
    ['🐟', 2],
    ['©', 1],
    ['कि', 2],
  ])('%s takes %i', (text, columns) => {
    expect(displayWidth(text)).toBe(columns)
  })

  test.each([
    ['inbox/2026/11/invoice-17.pdf', 16, 'inbox/2…e-17.pdf'],
    ['short', 5, 'short'],
    ['日本語日本語', 6, '日…語'],
    ['abcdef', 1, '…'],
    ['abcdef', 0, ''],
    ['ab\\u{202E}\\u{202E}cd', 12, 'ab…cd'],
  ])('%s in %i columns is %s', (text, columns, cut) => {
    expect(cutMiddle(text, columns)).toBe(cut)
  })

  test('a cut text is never wider than it may be', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 0, max: 40 }), (text, columns) => {
        expect(displayWidth(cutMiddle(printable(text), columns))).toBeLessThanOrEqual(columns)
      }),
    )
  })
})
