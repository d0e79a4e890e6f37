import { isUtf8 } from 'node:buffer'
import { readdir, type Dirent } from 'node:fs'
import { realpath } from 'node:fs/promises'
import path from 'node:path'
import { CliError } from '../cli-error.js'
import { EXIT } from '../exit-status.js'
import { hasCode } from './errno.js'

/**
 * Names as the file system has them: bytes. A job carries text. Node decodes names as UTF-8 and puts U+FFFD where they are
 * not, so such a name no longer leads to its file; a name that really has U+FFFD in it does. Only the bytes tell which.
 */
export const NOT_TEXT = 'its name is not UTF-8, which a job cannot carry'

export function isText(name: Uint8Array): boolean {
  return isUtf8(name)
}

/** A name for people: bytes that are not UTF-8 as `\xNN`. */
export function shownBytes(name: Uint8Array): string {
  let shown = ''
  for (let at = 0; at < name.length;) {
    const length = [1, 2, 3, 4].find((n) => at + n <= name.length && isUtf8(name.subarray(at, at + n)))
    shown +=
      length === undefined
        ? `\\x${(name[at] ?? 0).toString(16).padStart(2, '0')}`
        : Buffer.from(name.subarray(at, at + length)).toString('utf8')
    at += length ?? 1
  }
  return shown
}

/** The real path, as text. Throws SOURCE_NAME when a name in it is not UTF-8, else the system's errors. */
export async function realText(file: string, shown: string): Promise<string> {
  const real = await realpath(file, { encoding: 'buffer' })
  if (isText(real)) return real.toString('utf8')
  throw new CliError('SOURCE_NAME', `${shown} is really ${shownBytes(real)}: ${NOT_TEXT}`, {
    exitStatus: EXIT.failed,
    fix: 'rename it',
  })
}

/** For an argument that does not exist: its bytes may have been lost on the command line. */
export function bytesLost(argument: string): string {
  return argument.includes('\ufffd') ? ' (or its name is not UTF-8; give its folder, and such names are listed)' : ''
}

interface Lost {
  /** absolute, for people */
  readonly file: string
  readonly reason: string
}

/**
 * What a pattern's walk finds. Names that are not UTF-8 are matched as Node shows them and remembered, since the shown
 * name does not lead to the file.
 */
export class PatternNames {
  readonly #descends: boolean
  readonly #lost = new Map<string, Lost[]>()
  /** Folders into which the pattern would have led. */
  readonly folders: Lost[] = []
  /** Folders that the pattern leads into and that could not be read; the walk continues without them. */
  readonly unread: { readonly folder: string; readonly error: Error }[] = []

  constructor(pattern: string) {
    this.#descends = /[*?[{(!].*\//.test(pattern)
  }

  lost(match: string): readonly Lost[] {
    return this.#lost.get(match) ?? []
  }

  readonly readdir = (
    folder: string,
    _options: { withFileTypes: true },
    done: (error: NodeJS.ErrnoException | null, entries: Dirent[]) => void,
  ): void => {
    readdir(folder, { withFileTypes: true, encoding: 'buffer' }, (error, entries) => {
      if (error) {
        if (!hasCode(error, 'ENOENT', 'ENOTDIR')) this.unread.push({ folder, error })
        return done(error, [])
      }
      done(
        null,
        entries.map((entry) => this.#asText(folder, entry)),
      )
    })
  }

  #asText(folder: string, entry: Dirent<Buffer>): Dirent {
    const name = entry.name.toString('utf8')
    if (!isText(entry.name)) {
      const lost = { file: path.join(folder, shownBytes(entry.name)), reason: NOT_TEXT }
      if (entry.isDirectory() && this.#descends) this.folders.push(lost)
      const key = path.join(folder, name)
      this.#lost.set(key, [...(this.#lost.get(key) ?? []), lost])
    }
    return Object.assign(entry as unknown as Dirent, { name })
  }
}
