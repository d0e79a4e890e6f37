import { closeSync, fstatSync, openSync, readSync, statSync, type Stats } from 'node:fs'
import { errnoOf } from './sources.js'

/** A secret's file holds at most this many bytes; anything longer is the wrong file. */
export const SECRET_FILE_LIMIT = 65_536

export type SecretFile = { readonly text: string; readonly warning: string | undefined } | { readonly fault: string }

/** Reads a secret from a file, without the line end that editors leave behind. Faults never quote its content. */
export function readSecretFile(path: string): SecretFile {
  try {
    const fd = openSync(path, 'r')
    try {
      const stats = fstatSync(fd)
      if (stats.isDirectory()) return { fault: `names a folder, ${path}` }
      const bytes = Buffer.alloc(SECRET_FILE_LIMIT + 1)
      let length = 0
      for (let n = -1; n !== 0 && length < bytes.length; length += n)
        n = readSync(fd, bytes, length, bytes.length - length, null)
      if (length > SECRET_FILE_LIMIT) return { fault: `names ${path}, which is longer than ${SECRET_FILE_LIMIT} bytes` }
      const text = bytes.toString('utf8', 0, length).replace(/\r?\n$/, '')
      bytes.fill(0)
      return text === '' ? { fault: `names ${path}, which is empty` } : { text, warning: modeWarning(path, stats) }
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    return { fault: `names ${path}, which can't be read (${errnoOf(error)})` }
  }
}

/** What can be said of a secret's file that somebody else will read: it is there, and who could read it. Never opened. */
export function inspectSecretFile(path: string): { readonly fault?: string; readonly warning?: string | undefined } {
  try {
    const stats = statSync(path)
    return stats.isDirectory() ? { fault: `names a folder, ${path}` } : { warning: modeWarning(path, stats) }
  } catch (error) {
    return { fault: `names ${path}, which can't be found (${errnoOf(error)})` }
  }
}

function modeWarning(path: string, stats: Stats): string | undefined {
  if (!stats.isFile() || (stats.mode & 0o044) === 0) return undefined
  const mode = (stats.mode & 0o777).toString(8).padStart(4, '0')
  return `${path} holds a secret and can be read by others (mode ${mode}); make it 0400 or 0600`
}
