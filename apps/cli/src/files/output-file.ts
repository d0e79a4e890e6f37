import { constants, ftruncateSync, lstatSync, unlinkSync } from 'node:fs'
import { link, lstat, open, rename, unlink, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { CliError } from '../cli-error.js'
import { EXIT } from '../exit-status.js'
import { errnoOf, hasCode } from './errno.js'
import { outputError, unsafeOutput } from './output-error.js'
import { isSame, OpenFolder, type Identity } from './open-folder.js'
import { partName, removeStaleParts } from './part-files.js'

/** Files that are being written now; a second signal removes them without waiting. */
const unfinished = new Set<OutputFile>()

/** Removes every temporary file at once, synchronously: for the moment before the process dies of a signal. */
export function removeUnfinished(): void {
  for (const file of unfinished) file.removeNow()
  unfinished.clear()
}

export interface CreateOptions {
  /** replaces an existing file */
  readonly force: boolean
  /** what to do about a name that is taken, for commands without --force */
  readonly ifTaken?: string | undefined
}

/**
 * A file that appears under its name only when it is whole.
 *
 * Bytes go to a hidden temporary file in the same folder, made with O_EXCL, O_NOFOLLOW and mode 0600. `commit` syncs it and
 * gives it the final name: by `link`, which fails when the name is taken meanwhile, or by `rename` with `force`. All of it
 * goes through the folder's descriptor, and at the end the folder is still where it was opened, and the name leads to what
 * was written; else OUTPUT_UNSAFE. Disposing without a commit empties the file and removes it.
 */
export class OutputFile implements AsyncDisposable {
  /** absolute, for people */
  readonly path: string
  readonly #folder: OpenFolder
  readonly #ownsFolder: boolean
  readonly #handle: FileHandle
  readonly #own: Identity
  readonly #name: string
  readonly #temporary: string
  readonly #o: CreateOptions
  #open = true
  #offset = 0

  private constructor(
    where: { folder: OpenFolder; name: string; owned: boolean },
    made: { handle: FileHandle; own: Identity; temporary: string },
    o: CreateOptions,
  ) {
    this.#folder = where.folder
    this.#ownsFolder = where.owned
    this.#name = where.name
    this.path = path.join(where.folder.path, where.name)
    this.#handle = made.handle
    this.#own = made.own
    this.#temporary = made.temporary
    this.#o = o
  }

  /** Throws OUTPUT_EXISTS (status 1) when `final` exists and `force` isn't set; a folder is refused in any case. */
  static async create(final: string, o: CreateOptions): Promise<OutputFile> {
    const folder = await openNamed(final)
    try {
      return await OutputFile.#make({ folder, name: path.basename(final) || '.', owned: true }, o)
    } catch (error) {
      await folder[Symbol.asyncDispose]()
      throw error
    }
  }

  /** The same in a folder that the caller has open, and keeps open until the file is disposed of. */
  static createIn(folder: OpenFolder, name: string, o: CreateOptions): Promise<OutputFile> {
    return OutputFile.#make({ folder, name, owned: false }, o)
  }

  static async #make(
    where: { folder: OpenFolder; name: string; owned: boolean },
    o: CreateOptions,
  ): Promise<OutputFile> {
    const { folder, name } = where
    const final = path.join(folder.path, name)
    try {
      await removeStaleParts(folder)
      await assertFree(folder, name, o)
      const temporary = partName()
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
      const handle = await open(folder.at(temporary), flags, 0o600)
      try {
        const file = new OutputFile(where, { handle, own: await handle.stat({ bigint: true }), temporary }, o)
        unfinished.add(file)
        return file
      } catch (error) {
        await handle.close()
        await unlink(folder.at(temporary))
        throw error
      }
    } catch (error) {
      throw outputError(error, final)
    }
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
      throw outputError(error, this.path)
    }
  }

  /** Returns when the whole file is on disk under its final name. Throws, leaving nothing there, otherwise. */
  async commit(): Promise<void> {
    try {
      await this.#handle.sync()
      await this.#assertInPlace()
      await this.#takeName()
      await this.#assertInPlace()
      if (!(await this.#has(this.#name))) throw unsafeOutput(`${this.path} was replaced while it was written`)
      unfinished.delete(this)
      await this.#close()
      await this.#folder.sync()
    } catch (error) {
      throw outputError(error, this.path)
    }
  }

  async #assertInPlace(): Promise<void> {
    if (!(await this.#folder.isInPlace()))
      throw unsafeOutput(`the folder of ${this.path} was moved or replaced while the file was written`)
  }

  async #takeName(): Promise<void> {
    const [temporary, final] = [this.#folder.at(this.#temporary), this.#folder.at(this.#name)]
    if (this.#o.force) return rename(temporary, final)
    try {
      await link(temporary, final)
    } catch (error) {
      if (hasCode(error, 'EEXIST')) throw exists(this.path, this.#o.ifTaken)
      // FAT and some network file systems know no hard links; there a check and a rename is the best there is.
      if (!hasCode(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK')) throw error
      await assertFree(this.#folder, this.#name, this.#o)
      return rename(temporary, final)
    }
    await unlink(temporary)
  }

  /** True when this name of the folder leads to the file that was written. */
  async #has(name: string): Promise<boolean> {
    try {
      return isSame(await lstat(this.#folder.at(name), { bigint: true }), this.#own)
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false
      throw error
    }
  }

  async #close(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    await this.#handle.close()
  }

  /** Empties and removes the file unless `commit` succeeded: what is moved away meanwhile holds no byte of it. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (!unfinished.delete(this)) return
      await this.#handle.truncate(0)
      for (const name of [this.#temporary, this.#name]) {
        if (await this.#has(name)) await unlink(this.#folder.at(name))
      }
    } finally {
      await this.#close()
      if (this.#ownsFolder) await this.#folder[Symbol.asyncDispose]()
    }
  }

  /** The same at once, for the moment before the process dies. */
  removeNow(): void {
    try {
      ftruncateSync(this.#handle.fd, 0)
      for (const name of [this.#temporary, this.#name]) {
        const there = lstatSync(this.#folder.at(name), { bigint: true, throwIfNoEntry: false })
        if (there !== undefined && isSame(there, this.#own)) unlinkSync(this.#folder.at(name))
      }
    } catch (error) {
      process.emitWarning(`could not remove ${this.#temporary} beside ${this.path} (${errnoOf(error) ?? 'no errno'})`)
    }
  }
}

/** The folder of a path that the user named. */
async function openNamed(final: string): Promise<OpenFolder> {
  const folder = path.dirname(final)
  try {
    return await OpenFolder.open(folder)
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR')) throw outputError(error, final)
    throw new CliError('OUTPUT_FOLDER', `the folder of ${final} does not exist`, {
      exitStatus: EXIT.failed,
      fix: `mkdir -p ${folder}`,
      cause: error,
    })
  }
}

async function assertFree(folder: OpenFolder, name: string, { force, ifTaken }: CreateOptions): Promise<void> {
  const final = path.join(folder.path, name)
  try {
    const stats = await lstat(folder.at(name))
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
    if (!hasCode(error, 'ENOENT')) throw error
  }
}

function exists(
  final: string,
  fix: string | undefined = 'name another path with -o, or replace it with --force',
): CliError {
  return new CliError('OUTPUT_EXISTS', `${final} exists already`, { exitStatus: EXIT.failed, fix })
}
