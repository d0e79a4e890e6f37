/**
 * Runs `work` for every item of a generator, at most `width` at a time. Rejects with the first error when all that began has
 * ended; the generator is closed on every path.
 */
export async function inLanes<T>(
  items: AsyncGenerator<T>,
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let goOn = true
  const lane = async (): Promise<void> => {
    try {
      while (goOn) {
        const next = await items.next()
        if (next.done === true) return
        await work(next.value)
      }
    } catch (error) {
      goOn = false
      throw error
    }
  }
  const lanes = await Promise.allSettled(Array.from({ length: width }, lane))
  await items.return(undefined)
  const failed = lanes.find((one) => one.status === 'rejected')
  if (failed) throw failed.reason
}
