/**
 * The rows of a long matrix in two parts: those that `npm test` runs, and those that only the long run does (`npm run
 * test:full`, and `.ci/run` after `npm test`). No row is lost: each is in one part.
 *
 * @example
 * for (const { rows, options } of shortAndLong(POINTS, (point) => point.startsWith('before:')))
 *   test.each(rows)('killed at %s', options, async (point) => …)
 * @param keep whether a row belongs to the short part; it should hold each kind of behaviour once
 */
export function shortAndLong<Row>(
  rows: readonly Row[],
  keep: (row: Row, place: number) => boolean,
): readonly { readonly rows: readonly Row[]; readonly options: { readonly tags: string[] } }[] {
  const short = rows.filter(keep)
  if (short.length === 0) throw new Error('the short part of a matrix holds no row')
  const long = rows.filter((row, place) => !keep(row, place))
  return [
    { rows: short, options: { tags: [] } },
    { rows: long, options: { tags: ['long'] } },
  ]
}

/** Every `step`th row, the first included: for matrices whose rows are alike. */
export function every(step: number): (row: unknown, place: number) => boolean {
  return (_row, place) => place % step === 0
}
