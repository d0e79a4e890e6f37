/** A figure and how old it is. */
export interface Aged<T> {
  readonly value: T
  readonly ageSeconds: number
}

export type Paced<T> = () => Promise<Aged<T>>

/** A measurement that takes less, in milliseconds, is made each time. */
const CHEAP_MS = 100
/** One that takes more may take one twentieth of the time. */
const SHARE = 20

/**
 * Measures when asked; but after a measurement that took long, answers with it until twenty times as long has passed. An
 * error passes to the caller, and the next call measures.
 *
 * @param clock milliseconds, from any beginning
 */
export function paced<T>(measure: () => Promise<T>, clock: () => number = () => performance.now()): Paced<T> {
  let last: { readonly value: T; readonly at: number; readonly until: number } | undefined
  return async () => {
    const began = clock()
    if (last === undefined || began >= last.until) {
      last = undefined
      const value = await measure()
      const took = clock() - began
      // The figures are those of the measurement's beginning: one snapshot.
      last = { value, at: began, until: took < CHEAP_MS ? began : began + took * SHARE }
    }
    return { value: last.value, ageSeconds: (clock() - last.at) / 1000 }
  }
}
