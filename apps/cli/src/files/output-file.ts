import { randomBytes } from 'node:crypto'
import { constants, unlinkSync } from 'node:fs'
import { link, lstat, open, rename, unlink, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { CliError } from '../cli-error.js'
import { EXIT } from '../exit-status.js'
import { errnoOf, hasCode } from './errno.js'

/** Temporary files that exist at this moment; a second signal removes them without waiting for anything. */
const unfinished = new Set<string>()

/** Removes every temporary file at once, synchronously: for the moment before the process dies of a signal. */
export function removeUnfinished(): void {
  for (const temporary of unfinished) {
    try {
      unlinkSync(temporary)
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) process.emitWarning(`could not remove ${temporary}`)
    }
  }
  unfinished.clear()
}

interface CreateOptions {
  /** replaces a file that is there */
  readonly force: boolean
  /** what to do about a name that is taken, for verbs without --force */
  readonly ifTaken?: string | undefined
}

/**
 * A file that appears under its name only when it is whole.
 *
 * Bytes go to a hidden temporary file in the same folder, made with O_EXCL, O_NOFOLLOW and mode 0600. `commit` syncs
 * it and gives it the final name: by `link`, which fails when the name is taken in the meantime, or by `rename` with
 * `force`. Disposing without a commit removes it.
 */
export class OutputFile implements AsyncDisposable {
  readonly #handle: FileHandle
  readonly #temporary: string
  readonly #final: string
  readonly #force: boolean
  readonly #ifTaken: string | undefined
  #open = true
  #offset = 0

  private constructor(handle: FileHandle, temporary: string, final: string, o: CreateOptions) {
    this.#handle = handle
    this.#temporary = temporary
    this.#final = final
    this.#force = o.force
    this.#ifTaken = o.ifTaken
  }

  /** Throws OUTPUT_EXISTS (status 1) when `final` exists and `force` isn't set; a folder is refused in any case. */
  static async create(final: string, o: CreateOptions): Promise<OutputFile> {
    await assertFree(final, o)
    const folder = path.dirname(final)
    const temporary = path.join(folder, `.${path.basename(final).slice(0, 100)}.${randomBytes(8).toString('hex')}.part`)
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
    let handle: FileHandle
    try {
      handle = await open(temporary, flags, 0o600)
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENOTDIR')) {
        const fix = `mkdir -p ${folder}`
        throw new CliError('OUTPUT_FOLDER', `the folder of ${final} does not exist`, {
          exitStatus: EXIT.failed,
          fix,
          cause: error,
        })
      }
      throw outputError(error, final)
    }
    unfinished.add(temporary)
    return new OutputFile(handle, temporary, final, o)
  }

  /** Appends all of `bytes`; the buffer may be wiped once this resolves. */
  async write(bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length;) {
        const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, this.#offset)
        done += bytesWritten
        this.#offset += bytesWritten
      }
    } catch (error) {
      throw outputError(error, this.#final)
    }
  }

  /** Returns when the whole file is on disk under its final name. Throws, leaving nothing there, otherwise. */
  async commit(): Promise<void> {
    try {
      await this.#commit()
    } catch (error) {
      throw outputError(error, this.#final)
    }
  }

  async #commit(): Promise<void> {
    await this.#handle.sync()
    await this.#close()
    if (this.#force) {
      await rename(this.#temporary, this.#final)
    } else {
      await this.#linkOrRename()
    }
    unfinished.delete(this.#temporary)
    await syncFolder(path.dirname(this.#final))
  }

  async #linkOrRename(): Promise<void> {
    try {
      await link(this.#temporary, this.#final)
    } catch (error) {
      if (hasCode(error, 'EEXIST')) throw exists(this.#final, this.#ifTaken)
      // FAT and some network file systems know no hard links; there a check and a rename is the best there is.
      if (!hasCode(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK')) throw error
      await assertFree(this.#final, { force: false, ifTaken: this.#ifTaken })
      await rename(this.#temporary, this.#final)
      return
    }
    await unlink(this.#temporary)
  }

  async #close(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    await this.#handle.close()
  }

  /** Removes the temporary file unless `commit` succeeded. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close()
    if (!unfinished.has(this.#temporary)) return
    unfinished.delete(this.#temporary)
    try {
      await unlink(this.#temporary)
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
    }
  }
}

async function assertFree(final: string, { force, ifTaken }: CreateOptions): Promise<void> {
  try {
    const stats = await lstat(final)
    // Renaming over /dev/null or a FIFO would replace the device itself.
    if (!stats.isFile() && !stats.isSymbolicLink()) {
      const what = stats.isDirectory() ? 'a folder' : 'not a regular file'
      throw new CliError('OUTPUT_EXISTS', `${final} is ${what}`, {
        exitStatus: EXIT.failed,
        fix: 'name a file with -o',
      })
    }
    if (!force) throw exists(final, ifTaken)
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR')) throw outputError(error, final)
  }
}

/** Disk full, read-only, no rights: with the path, which is the user's own. Other errors pass unchanged. */
function outputError(error: unknown, final: string): unknown {
  const errno = errnoOf(error)
  if (errno === undefined) return error
  const fix = 'make room or correct the rights of the folder, or choose another place with -o'
  return new CliError('OUTPUT_IO', `${final} could not be written (${errno})`, {
    exitStatus: EXIT.failed,
    fix,
    cause: error,
  })
}

function exists(
  final: string,
  fix: string | undefined = 'name another path with -o, or replace it with --force',
): CliError {
  return new CliError('OUTPUT_EXISTS', `${final} exists already`, { exitStatus: EXIT.failed, fix })
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await handle.sync()
  } catch (error) {
    // Some network file systems can't sync a folder; the file itself was synced before.
    if (!hasCode(error, 'EINVAL', 'ENOTSUP', 'EOPNOTSUPP')) throw error
  } finally {
    await handle.close()
  }
}
