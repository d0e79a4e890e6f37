import { displayWidth, piecesOf } from '@sealfleet/telemetry/text'
import type { Column } from './column.js'

/** Between two columns. */
const GAP = 2
/** A cut text keeps this many columns while others can be cut. */
const READABLE = 24
/** Ids, digests, times: what is copied or compared, and so is cut last. */
const WHOLE = /^(?:-|[0-9a-f-]{32,}|\d{4}-\d\d-\d\dT\S+|[\d.,:]+(?: [A-Za-z]+)?)?$/

export interface FittedColumn {
  readonly index: number
  readonly width: number
  readonly fold: boolean
}

/** Which columns are shown in `room` columns of a terminal, and how wide; `cut` when something is not shown whole. */
export function fitted(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  room: number | undefined,
): { readonly columns: readonly FittedColumn[]; readonly cut: boolean } {
  let left = columns.map((column, index) => ({
    index,
    gives: column.gives ?? 0,
    width: Math.max(displayWidth(column.title), ...rows.map((row) => displayWidth(row[index] ?? ''))),
    whole: column.align === 'right' || rows.every((row) => WHOLE.test(row[index] ?? '')),
    fold: column.sentence === true && index === columns.length - 1,
  }))
  if (room === undefined || widthOf(left) <= room)
    return { columns: left.map((one) => ({ ...one, fold: false })), cut: false }
  let cut = false
  while (leastOf(left) > room) {
    const most = Math.max(...left.map(({ gives }) => gives))
    if (most === 0) break
    left = left.filter(({ gives }) => gives !== most)
    cut = true
  }
  for (const candidates of [left.filter(({ whole }) => !whole), left]) {
    while (widthOf(left) > room) {
      const widest = candidates.reduce((a, b) => (b.width > a.width ? b : a), { width: 0 } as (typeof left)[number])
      if (widest.width <= (candidates === left ? 1 : 8)) break
      widest.width = Math.max(1, widest.width - Math.max(1, Math.min(widthOf(left) - room, widest.width >> 3)))
      cut ||= widest.fold !== true
    }
  }
  return { columns: left, cut }
}

function widthOf(columns: readonly { readonly width: number }[]): number {
  return columns.reduce((sum, { width }) => sum + width, GAP * (columns.length - 1))
}

function leastOf(columns: readonly { readonly width: number; readonly whole: boolean }[]): number {
  return widthOf(columns.map(({ width, whole }) => ({ width: whole ? width : Math.min(width, READABLE) })))
}

/** A printable text in lines of at most `width` columns, broken at spaces where there are some; at least one line. */
export function folded(text: string, width: number): readonly string[] {
  if (displayWidth(text) <= width) return [text]
  const lines: string[] = []
  let line: string[] = []
  let used = 0
  let space = -1
  for (const piece of piecesOf(text)) {
    const columns = displayWidth(piece)
    // The part after the space may be too long as well: then it gets its own line.
    while (used + columns > width && line.length > 0) {
      // The space stays at the end of its line, so that folded text can be joined again.
      const at = space > 0 ? space + 1 : line.length
      lines.push(line.slice(0, at).join(''))
      line = line.slice(at)
      used = displayWidth(line.join(''))
      space = -1
    }
    if (piece === ' ') space = line.length
    line.push(piece)
    used += columns
  }
  return [...lines, line.join('')]
}
