import { constants, existsSync } from 'node:fs'
import { lstat, mkdir, open, stat, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { hasCode } from './errno.js'

/** The identity of a file or folder, whatever its name. */
export interface Identity {
  readonly dev: bigint
  readonly ino: bigint
}

export function isSame(a: Identity, b: Identity): boolean {
  return a.dev === b.dev && a.ino === b.ino
}

const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY

let known: boolean | undefined

/** True where names can be looked up below an open descriptor: Linux with /proc. */
export function descriptorsHavePaths(): boolean {
  return (known ??= existsSync('/proc/self/fd'))
}

/**
 * A folder that is held open. Names are looked up in it through its descriptor (`/proc/self/fd/N/name`, what openat(2) does
 * for C), so that a link put into the path meanwhile leads nowhere else. A folder below it is opened the same way, one at a
 * time, and never through a link.
 *
 * Where there is no /proc, `at` is the plain path: good for one file in a folder that others cannot write to.
 */
export class OpenFolder implements AsyncDisposable, Identity {
  /** as people know it */
  readonly path: string
  readonly dev: bigint
  readonly ino: bigint
  readonly #handle: FileHandle
  readonly #above: { readonly folder: OpenFolder; readonly name: string } | undefined

  private constructor(handle: FileHandle, own: Identity, shown: string, above?: { folder: OpenFolder; name: string }) {
    this.#handle = handle
    this.dev = own.dev
    this.ino = own.ino
    this.path = shown
    this.#above = above
  }

  /** Opens a folder that the caller named; links on the way are followed. Throws the system's errors. */
  static async open(folder: string): Promise<OpenFolder> {
    return new OpenFolder(...(await opened(folder, FOLDER)), folder)
  }

  /** The path of a name in this folder, good while the folder is open. Its last component may be a link. */
  at(name: string): string {
    if (name === '' || name === '..' || name.includes('/')) throw new TypeError('one plain name is wanted')
    return descriptorsHavePaths() ? `/proc/self/fd/${this.#handle.fd}/${name}` : path.join(this.path, name)
  }

  /** Opens a folder in this one, made first with `make`. Throws ENOTDIR or ELOOP for what is a link or no folder. */
  async child(name: string, o: { readonly make?: boolean } = {}): Promise<OpenFolder> {
    const inner = this.at(name)
    if (o.make === true) await makeFolder(inner)
    const shown = path.join(this.path, name)
    return new OpenFolder(...(await opened(inner, FOLDER | constants.O_NOFOLLOW)), shown, { folder: this, name })
  }

  /** True while the path still leads here: no folder of the chain was moved or replaced. */
  async isInPlace(): Promise<boolean> {
    try {
      const above = this.#above
      const there =
        above === undefined
          ? await stat(this.path, { bigint: true })
          : await lstat(above.folder.at(above.name), { bigint: true })
      return isSame(there, this) && (above === undefined || (await above.folder.isInPlace()))
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return false
      throw error
    }
  }

  /** Syncs the folder, so that new names are durable. */
  async sync(): Promise<void> {
    try {
      await this.#handle.sync()
    } catch (error) {
      // Some network file systems cannot sync a folder; the file itself was synced before.
      if (!hasCode(error, 'EINVAL', 'ENOTSUP', 'EOPNOTSUPP')) throw error
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#handle.close()
  }
}

async function opened(folder: string, flags: number): Promise<[FileHandle, Identity]> {
  const handle = await open(folder, flags)
  try {
    return [handle, await handle.stat({ bigint: true })]
  } catch (error) {
    await handle.close()
    throw error
  }
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder)
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
  }
}
