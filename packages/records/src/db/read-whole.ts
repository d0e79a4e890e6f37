import type { FileState } from './terms.js'

/** More than once or twice only when a file is sealed again in the very moment of each try. */
const TRIES = 10

/**
 * A read with relations is a query for each of them, and a transaction may fit between: the file names an attempt that has given
 * way when the second query looks for it. Such a half-seen answer is asked for again. (A batch of one read is not a transaction to
 * Prisma, and in an interactive one it runs queries side by side on one connection, which pg deprecates.)
 * @returns the last answer, whole or not: a database restored without its constraints never has a whole one
 */
export async function readWhole<T>(read: () => Promise<T>, whole: (found: T) => boolean): Promise<T> {
  for (let tries = 1; ; tries++) {
    const found = await read()
    if (tries === TRIES || whole(found)) return found
  }
}

/** Whether the committed attempt that the file names was found. A file that is not STORED any more names one that is not looked for. */
export function isWhole(
  file: { readonly state: FileState; readonly committedAttemptId: string | null },
  attempt: object | null | undefined,
): boolean {
  return file.state !== 'STORED' || file.committedAttemptId === null || (attempt ?? null) !== null
}
