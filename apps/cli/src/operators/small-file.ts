import { open } from 'node:fs/promises'
import { CliError } from '../cli-error.js'
import { EXIT } from '../exit-status.js'
import { errnoOf, hasCode } from '../files/errno.js'

/** Keys, signatures and requests are at most this long; anything longer is the wrong file. */
const LIMIT = 65_536 + 16

/** All bytes of a small file. @throws CliError: not there (status 4), not readable or too long (status 1) */
export async function readSmallFile(file: string): Promise<Buffer> {
  try {
    await using handle = await open(file, 'r')
    const bytes = Buffer.alloc(LIMIT + 1)
    let length = 0
    for (let n = -1; n !== 0 && length < bytes.length; length += n) {
      n = (await handle.read(bytes, length, bytes.length - length, null)).bytesRead
    }
    if (length <= LIMIT) return bytes.subarray(0, length)
    throw new CliError('INPUT', `${file} is longer than ${LIMIT} bytes: it is another file`, {
      exitStatus: EXIT.failed,
    })
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === undefined) throw error
    const missing = hasCode(error, 'ENOENT', 'ENOTDIR')
    throw new CliError('INPUT', `${file} can not be read (${errno})`, {
      exitStatus: missing ? EXIT.missing : EXIT.failed,
      cause: error,
    })
  }
}
