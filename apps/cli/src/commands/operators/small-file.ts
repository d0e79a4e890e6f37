import { isDenied, refusesReading } from '@sealfleet/failures'
import { open } from 'node:fs/promises'
import { CliError } from '../../cli-error.js'
import { EXIT } from '../../exit-status.js'
import { errnoOf, hasCode, mayNotBeRead } from '../../files/errno.js'
import { printable } from '../../output/printable.js'

const WHY: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'does not exist: a part of the path is not a folder',
  EISDIR: 'is a folder',
}

/** A named file that cannot be read: status 4 when it does not exist. Other errors are rethrown unchanged. */
export function unreadable(file: string, error: unknown): CliError {
  const errno = errnoOf(error)
  if (errno === undefined) throw error
  const refuses = isDenied(error) ? (refusesReading(file) ?? file) : undefined
  const message =
    refuses === undefined
      ? `${printable(file)} ${WHY[errno] ?? `cannot be read (${errno})`}`
      : `${mayNotBeRead(refuses)} (${errno})`
  return new CliError('INPUT', message, {
    exitStatus: hasCode(error, 'ENOENT', 'ENOTDIR') ? EXIT.missing : EXIT.failed,
    fix: 'name another file, or correct its path and rights',
    cause: error,
  })
}

/** Keys, signatures and requests are at most this long; anything longer is the wrong file. */
const LIMIT = 65_536 + 16

/** All bytes of a small file. @throws CliError: does not exist (status 4), not readable or too long (status 1) */
export async function readSmallFile(file: string): Promise<Buffer> {
  try {
    await using handle = await open(file, 'r')
    const bytes = Buffer.alloc(LIMIT + 1)
    let length = 0
    for (let n = -1; n !== 0 && length < bytes.length; length += n) {
      n = (await handle.read(bytes, length, bytes.length - length, null)).bytesRead
    }
    if (length <= LIMIT) return bytes.subarray(0, length)
    throw new CliError('INPUT', `${printable(file)} is longer than ${LIMIT} bytes and cannot be the right file`, {
      exitStatus: EXIT.failed,
      fix: 'name the right file',
    })
  } catch (error) {
    throw unreadable(file, error)
  }
}
