import type { FileState } from './terms.js'

/** More than one or two tries are needed only if a file is re-encrypted at the moment of each try. */
const TRIES = 10

/**
 * A read with relations is one query per relation, and a transaction may fit between them: the file then names an
 * attempt that is superseded when the second query looks for it. Such a torn answer is read again. (A batch of one read
 * is not a transaction to Prisma, and in an interactive one it runs queries in parallel on one connection, which pg
 * deprecates.)
 * @returns the last answer, whole or not: a database restored without its constraints never has a whole one
 */
export async function readWhole<T>(read: () => Promise<T>, whole: (found: T) => boolean): Promise<T> {
  for (let tries = 1; ; tries++) {
    const found = await read()
    if (tries === TRIES || whole(found)) return found
  }
}

/**
 * Whether the committed attempt that the file names was found. It is not looked for if the file is no longer STORED.
 */
export function isWhole(
  file: { readonly state: FileState; readonly committedAttemptId: string | null },
  attempt: object | null | undefined,
): boolean {
  return file.state !== 'STORED' || file.committedAttemptId === null || (attempt ?? null) !== null
}
