/** What the explored protocols share: workers that know what they were told, and nothing else. */

/** Leases of an exploration run out by a step, not by themselves: this is far longer than the deepest one takes. */
export const LEASE_SECONDS = 86_400

/** A worker's own knowledge. `opened`: its attempt is recorded, and perhaps committed without its having heard. */
export interface Worker {
  readonly name: string
  /** Activations so far: each has an owner of its own. */
  readonly turn: number
  readonly phase: 'idle' | 'claimed' | 'opened'
  readonly attemptNo: number
  readonly attemptId: string
  /** The answer to its commit was lost after the database said this. */
  readonly lost: string | undefined
}

export const NEW_WORKER = { turn: 0, phase: 'idle', attemptNo: 0, attemptId: '', lost: undefined } as const

export const ownerOf = ({ name, turn }: Worker): string => `${name}/${turn}`

/** Without the attempt's id, which is random. */
export const known = ({ attemptId, ...rest }: Worker): unknown => [rest, attemptId !== '']

export const idle = (worker: Worker): Worker => ({ ...worker, ...NEW_WORKER, turn: worker.turn })

export function replaced(workers: readonly Worker[], by: Worker): readonly Worker[] {
  return workers.map((worker) => (worker.name === by.name ? by : worker))
}

/**
 * A key that is the same when the two workers change places: nothing distinguishes them. `text` gives the key with the
 * workers in this order.
 */
export function keyOfEither(workers: readonly Worker[], text: (workers: readonly Worker[]) => string): string {
  const swapped = text(workers.toReversed()).replaceAll(/"([AB])(?=["/])/g, (_, name) => (name === 'A' ? '"B' : '"A'))
  const [first = ''] = [text(workers), swapped].toSorted()
  return first
}

/** @throws Error when it is not so */
export function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what)
}
