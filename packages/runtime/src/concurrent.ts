/**
 * Runs `work` for each item, at most `width` at a time, in the order of the items. After `work` returns false or
 * throws, no further item is started. Settles when all started work has ended; rejects with the first error. An
 * iterator that was not read to its end is closed.
 */
export async function forEachConcurrent<T>(
  items: Iterable<T> | AsyncIterable<T>,
  width: number,
  work: (item: T) => Promise<boolean | void>,
): Promise<void> {
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()
  let stopped = false
  const lane = async (): Promise<void> => {
    try {
      while (!stopped) {
        const next = await iterator.next()
        if (next.done === true) return
        if ((await work(next.value)) === false) stopped = true
      }
    } catch (error) {
      stopped = true
      throw error
    }
  }
  const lanes = await Promise.allSettled(Array.from({ length: width }, lane))
  if (stopped) await iterator.return?.()
  const failed = lanes.find((one) => one.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
