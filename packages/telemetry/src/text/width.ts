const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' })

/** East Asian wide and fullwidth (https://www.unicode.org/reports/tr11/), and what is shown as emoji by itself. */
const WIDE =
  /^[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{16fe0}-\u{18cff}\u{1aff0}-\u{1b2ff}\u{20000}-\u{3fffd}]/u
const SPACING_MARK = /\p{Mc}/gu
const ASCII = /^[\x20-\x7e]*$/

/** An escape written by `printable` stays whole when a text is cut. */
const ESCAPE = /\\(?:u\{[0-9A-F]{1,6}\}|[nrt\\])/g

/**
 * Columns that a printable text takes on a terminal: one a grapheme, two where it is wide, one more for each spacing
 * mark. Terminals differ on some scripts; where they do, this is the larger number, so that nothing wraps.
 */
export function displayWidth(text: string): number {
  if (ASCII.test(text)) return text.length
  let width = 0
  for (const { segment } of segmenter.segment(text)) width += widthOf(segment)
  return width
}

function widthOf(grapheme: string): number {
  return (WIDE.test(grapheme) ? 2 : 1) + (grapheme.match(SPACING_MARK)?.length ?? 0)
}

/**
 * A printable text in at most `columns` columns: when it is longer, `…` stands for its middle, since paths differ at their
 * end. Neither a letter with its marks nor an escape is cut apart.
 *
 * @example cutMiddle('inbox/2026/11/invoice-17.pdf', 16) // 'inbox/2…e-17.pdf'
 */
export function cutMiddle(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text
  if (columns < 1) return ''
  const pieces = piecesOf(text)
  const room = columns - 1
  const head = taken(pieces, Math.floor(room / 2))
  const tail = taken(pieces.slice(head.length).reverse(), room - widthOfAll(head)).reverse()
  return `${head.join('')}…${tail.join('')}`
}

/** Graphemes of a printable text, and its escapes: units that are never cut apart. */
export function piecesOf(text: string): string[] {
  const pieces: string[] = []
  let from = 0
  for (const { index, 0: escape } of text.matchAll(ESCAPE)) {
    for (const { segment } of segmenter.segment(text.slice(from, index))) pieces.push(segment)
    pieces.push(escape)
    from = index + escape.length
  }
  for (const { segment } of segmenter.segment(text.slice(from))) pieces.push(segment)
  return pieces
}

function taken(pieces: readonly string[], room: number): string[] {
  const kept: string[] = []
  let left = room
  for (const piece of pieces) {
    left -= displayWidth(piece)
    if (left < 0) break
    kept.push(piece)
  }
  return kept
}

function widthOfAll(pieces: readonly string[]): number {
  return pieces.reduce((sum, piece) => sum + displayWidth(piece), 0)
}
