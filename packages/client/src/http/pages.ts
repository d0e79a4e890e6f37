import { SealfleetError } from '../sealfleet-error.js'
import type { Transport } from './transport.js'

/** Items of a list, page by page. Each answer is `{ [items]: […], next }`; `next` is null on the last one. */
export async function* pages<T>(
  transport: Transport,
  list: {
    readonly path: string
    readonly items: string
    readonly query: Readonly<Record<string, string | number | undefined>>
    readonly signal: AbortSignal | undefined
  },
): AsyncGenerator<T, void, undefined> {
  const { path, items, query, signal } = list
  let cursor: string | undefined
  do {
    const answer = await transport.json({ method: 'GET', path, query: { ...query, cursor }, signal })
    const page = answer as Readonly<Record<string, unknown>>
    const found = page[items]
    if (!Array.isArray(found)) throw new SealfleetError('BAD_ANSWER', `the answer has no list of ${items}`)
    yield* found as T[]
    cursor = typeof page['next'] === 'string' ? page['next'] : undefined
  } while (cursor !== undefined)
}
