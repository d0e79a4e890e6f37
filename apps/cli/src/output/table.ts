import { displayWidth, printable } from './printable.js'

/** A column: its heading, and on which side its cells stand. Numbers and sizes stand right. */
export interface Column {
  readonly title: string
  readonly align?: 'left' | 'right'
}

/** Paints a cell that is already padded; colour must not count as width. */
export type CellPainter = (padded: string, cell: string, column: number) => string

/**
 * Lines of an aligned table, without trailing spaces and without a final line break. Cells are made printable here.
 * No column is ever cut: an id that can't be copied is worth nothing.
 */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[], paint?: CellPainter): string {
  const cells = rows.map((row) => row.map(printable))
  const widths = columns.map((column, i) =>
    Math.max(displayWidth(column.title), ...cells.map((row) => displayWidth(row[i] ?? ''))),
  )
  const line = (row: readonly string[], painter?: CellPainter): string =>
    columns
      .map((column, i) => {
        const cell = row[i] ?? ''
        const fill = ' '.repeat((widths[i] ?? 0) - displayWidth(cell))
        const padded = column.align === 'right' ? fill + cell : i === columns.length - 1 ? cell : cell + fill
        return painter ? painter(padded, cell, i) : padded
      })
      .join('  ')
      .trimEnd()
  return [line(columns.map((column) => column.title)), ...cells.map((row) => line(row, paint))].join('\n')
}

/** `name  value` pairs, names aligned. */
export function pairs(entries: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(0, ...entries.map(([name]) => displayWidth(name)))
  return entries
    .map(([name, value]) => `${name}${' '.repeat(width - displayWidth(name))}  ${printable(value)}`.trimEnd())
    .join('\n')
}
