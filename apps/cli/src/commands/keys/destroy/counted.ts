import type { CommandContext } from '../../../context.js'
import { createCounter } from '../../../output/counter.js'

/** Runs a scan of every header in the store and shows how many have been read. */
export async function counted<T>(
  context: CommandContext,
  run: (onProgress: (looked: number) => void) => Promise<T>,
): Promise<T> {
  const counter = createCounter(context.io, { noun: 'headers read', quiet: context.print.json })
  try {
    return await run((looked) => counter.update(looked))
  } finally {
    counter.stop()
  }
}
