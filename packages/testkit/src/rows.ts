import { test, type TestContext, type TestOptions } from 'vitest'

type TestBody = (context: TestContext) => void | Promise<void>
type Body<Row> = (row: Row, context: TestContext) => void | Promise<void>

/**
 * `test.for` over the rows of a long matrix, in two parts: the rows that `keep` names run with `npm test`, the others
 * have the tag `long`, so that only the whole run has them (`npm test -- --all`, which CI runs). No row is lost.
 *
 * @example
 * matrix(POINTS, (point) => EACH_STATE.includes(point))('killed %s', async (point, { expect }) => …)
 * matrix(SHAPES, every(3))('%s: nothing is stored', { timeout: 90_000 }, async ([shape, count]) => …)
 * @param keep whether a row belongs to the short part, which should hold each kind of behaviour once
 * @throws Error when it keeps no row
 */
export function matrix<Row>(
  rows: readonly Row[],
  keep: (row: Row, place: number) => boolean,
): (name: string, ...rest: readonly [Body<Row>] | readonly [TestOptions, Body<Row>]) => void {
  const short = rows.filter(keep)
  if (short.length === 0) throw new Error('the short part of a matrix holds no row')
  const long = rows.filter((row, place) => !keep(row, place))
  return (name, ...rest) => {
    const [options, body] = rest.length === 1 ? [{}, rest[0]] : rest
    test.for(short)(name, options, body)
    test.for(long)(name, { ...options, tags: ['long'] }, body)
  }
}

/** Every `step`th row, the first included: for matrices whose rows are alike. */
export function every(step: number): (row: unknown, place: number) => boolean {
  return (_row, place) => place % step === 0
}

/**
 * A test that repeats what another one proves: in a longer form, by another way, or on another server. Only the whole
 * run has it, as the rows that `matrix` puts aside.
 */
export function longTest(name: string, ...rest: readonly [TestBody] | readonly [TestOptions, TestBody]): void {
  const [options, body] = rest.length === 1 ? [{}, rest[0]] : rest
  test(name, { ...options, tags: ['long'] }, body)
}
