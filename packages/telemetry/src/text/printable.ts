/**
 * Text from outside (file names, a driver's messages, what a request holds) on its way to a terminal, a log or a page.
 *
 * What passes as it is: letters, marks, numbers, punctuation, symbols and U+0020. Everything else of Unicode is written
 * as an escape that can be seen: controls and line breaks, format characters (direction, joiners, soft hyphen, tags),
 * variation selectors and whatever else is ignored by default, blanks other than U+0020, private use, lone surrogates,
 * and what this Node's Unicode has not assigned, so that a format character of a later version does not pass either.
 * https://www.unicode.org/reports/tr36/ (visual spoofing), https://www.unicode.org/reports/tr44/#GC_Values_Table
 */

/** Symbols and letters of no ink: braille blank, hieroglyph blanks, null notehead. */
const INKLESS = '\\u2800\\u{13441}\\u{13442}\\u{1d159}'
const UNSEEN = new RegExp(`(?! )[\\p{C}\\p{Z}\\p{Default_Ignorable_Code_Point}${INKLESS}]`, 'u')
const UNSEEN_IN_JSON = new RegExp(`(?![ \\n])[\\p{C}\\p{Z}\\p{Default_Ignorable_Code_Point}${INKLESS}]`, 'gu')

const MARK = /\p{M}/u
/** Vietnamese, Thai and Hebrew stack up to four marks on a letter; more of them cover the lines around. */
const MOST_MARKS = 4

const PLAIN = /^(?! )[\x20-\x5b\x5d-\x7e]*(?<! )$/
const PLAIN_LINE = /^[\x20-\x7e]*$/

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\\': '\\\\' }

/**
 * One text from outside, safe in a line: invisible characters become `\u{202E}`, `\n`, `\r` or `\t`, a backslash
 * becomes two, so that two different texts never look the same. Also escaped: a space at either end, a mark without a
 * letter before it, and marks beyond the fourth on one letter. Call it once, where the text enters a sentence or a cell.
 *
 * @example printable('a\nb\u202egpj.exe') // 'a\\nb\\u{202E}gpj.exe'
 */
export function printable(text: string): string {
  if (PLAIN.test(text)) return text
  const last = text.length - 1
  return escaped(text, (character, at) => {
    if (character === '\\') return true
    return character === ' ' && (at === 0 || at === last)
  })
}

/**
 * The net under `printable`: a whole sentence as one line, in which texts from outside may already be escaped.
 * Backslashes and outer spaces stay, so doing it twice changes nothing. A sentence whose outside text skipped
 * `printable` cannot break lines or drive a terminal either, but a backslash in it looks like an escape.
 */
export function oneLine(sentence: string): string {
  return PLAIN_LINE.test(sentence) ? sentence : escaped(sentence, () => false)
}

/** The same JSON with everything that `printable` would escape as JSON's own `\uXXXX`: parsed, it is the same data. */
export function printableJson(json: string): string {
  if (PLAIN_LINE.test(json)) return json
  return json.replace(UNSEEN_IN_JSON, (character) => {
    let units = ''
    for (let i = 0; i < character.length; i += 1) units += `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`
    return units
  })
}

function escaped(text: string, also: (character: string, at: number) => boolean): string {
  let out = ''
  let at = 0
  /** marks since the last letter; undefined where there is none to carry one */
  let marks: number | undefined
  for (const character of text) {
    if (character > ' ' && character < '\x7f' && character !== '\\') {
      marks = 0
      out += character
    } else if (MARK.test(character)) {
      marks = marks === undefined ? undefined : marks + 1
      out += marks === undefined || marks > MOST_MARKS || UNSEEN.test(character) ? escapeOf(character) : character
    } else if (UNSEEN.test(character) || also(character, at)) {
      marks = undefined
      out += escapeOf(character)
    } else {
      marks = character === ' ' ? undefined : 0
      out += character
    }
    at += character.length
  }
  return out
}

function escapeOf(character: string): string {
  return SHORT[character] ?? `\\u{${(character.codePointAt(0) ?? 0).toString(16).toUpperCase()}}`
}
