/** Errors of a chain that are looked at, at most; a real chain has a handful, a hostile or circular one ends here. */
const LIMIT = 64

/** An error (or any thrown object) as its properties. */
export type ErrorNode = Readonly<Record<string, unknown>>

/**
 * The error itself, then its `cause`, and the `errors` of an AggregateError, nearest first. Objects that are not Errors
 * count too (Prisma's driver adapters put plain objects into `cause`); circles are walked once.
 */
export function errorChain(error: unknown): readonly ErrorNode[] {
  const chain: ErrorNode[] = []
  const queue: unknown[] = [error]
  while (queue.length > 0) {
    const next = queue.shift()
    if (typeof next !== 'object' || next === null || chain.includes(next as ErrorNode)) continue
    const node = next as ErrorNode
    if (chain.push(node) === LIMIT) break
    if (node['cause'] !== undefined) queue.push(node['cause'])
    if (Array.isArray(node['errors'])) queue.push(...(node['errors'] as unknown[]).slice(0, LIMIT))
  }
  return chain
}

/** A property when it is a string, or the empty string. */
export function textProperty(node: ErrorNode, property: string): string {
  const value = node[property]
  return typeof value === 'string' ? value : ''
}
