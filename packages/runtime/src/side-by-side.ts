/**
 * Runs `work` for every item, at most `width` at a time, in order of their start. `work` answers whether to go on; after
 * a `false` nothing new begins. Resolves when all that began has ended; a throw of `work` is thrown then.
 */
export async function sideBySide<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<boolean>,
): Promise<void> {
  let next = 0
  let goOn = true
  const lane = async (): Promise<void> => {
    while (goOn) {
      const item = items[next]
      if (next >= items.length) return
      next += 1
      try {
        if (!(await work(item as T))) goOn = false
      } catch (error) {
        goOn = false
        throw error
      }
    }
  }
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(width, items.length) }, lane))
  const failed = lanes.find((one) => one.status === 'rejected')
  if (failed) throw failed.reason
}
