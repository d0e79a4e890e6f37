import type { Column } from './column.js'
import { fitted, folded } from './fit.js'
import { cutMiddle, displayWidth, oneLine, printable } from './printable.js'
import { currentView } from './view.js'

/** Paints a cell that is already padded; colour must not count as width. */
export type CellPainter = (padded: string, cell: string, column: number) => string

export interface TableOptions {
  /** columns of indent that the caller adds to each line */
  readonly indent?: number
}

/**
 * Lines of an aligned table, without trailing spaces and without a final line break. Cells are made printable here. On a
 * terminal no line is longer than its width: optional columns are dropped and long cells lose their middle. Ids and
 * numbers are cut last, since a cut id cannot be copied. `--wide` and pipes get the whole table.
 */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  paint?: CellPainter,
  { indent = 0 }: TableOptions = {},
): string {
  const shown = rows.map((row) => columns.map((column, i) => cellText(column, row[i] ?? '')))
  const room = currentView().columns
  const plan = fitted(columns, shown, room === undefined ? undefined : Math.max(1, room - indent))
  const line = (cells: readonly string[], originals: readonly string[] | undefined): string =>
    plan.columns
      .map(({ index, width }, place) => {
        const cell = cells[place] ?? ''
        const fill = ' '.repeat(Math.max(0, width - displayWidth(cell)))
        const last = place === plan.columns.length - 1
        const padded = columns[index]?.align === 'right' ? fill + cell : last ? cell : cell + fill
        return originals !== undefined && paint && cell !== '' ? paint(padded, originals[index] ?? '', index) : padded
      })
      .join('  ')
      .trimEnd()
  const lines = [
    line(
      plan.columns.map(({ index, width }) => cutMiddle(columns[index]?.title ?? '', width)),
      undefined,
    ),
  ]
  for (const row of shown) {
    const cells = plan.columns.map(({ index, width, fold }) =>
      fold ? folded(row[index] ?? '', width) : [cutMiddle(row[index] ?? '', width)],
    )
    const height = Math.max(...cells.map((parts) => parts.length))
    for (let n = 0; n < height; n += 1)
      lines.push(
        line(
          cells.map((parts) => parts[n] ?? ''),
          row,
        ),
      )
  }
  if (plan.cut) lines.push('(cut to the width of the terminal; --wide shows all)')
  return lines.join('\n')
}

function cellText(column: Column, cell: string): string {
  return column.sentence === true ? oneLine(cell) : printable(cell)
}

/** `name  value` pairs, names aligned; on a terminal long values are folded behind their names. */
export function pairs(
  entries: readonly (readonly [name: string, value: string])[],
  { columns = currentView().columns }: { columns?: number | undefined } = {},
): string {
  const shown = entries.map(([name, value]) => [oneLine(name), printable(value)] as const)
  const width = Math.max(0, ...shown.map(([name]) => displayWidth(name)))
  return shown
    .flatMap(([name, value]) => {
      const room = columns === undefined ? Infinity : Math.max(16, columns - width - 2)
      return folded(value, room).map((part, n) =>
        `${n === 0 ? pad(name, width) : ' '.repeat(width)}  ${part}`.trimEnd(),
      )
    })
    .join('\n')
}

function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - displayWidth(text)))
}
