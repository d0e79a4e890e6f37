import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { trustFault, type Content } from './file-trust.js'
import { errnoName } from './sources.js'

/** Largest file in bytes; a larger one is the wrong file. A list of all public authorities has some 250,000. */
const LIMITS: Readonly<Record<Content, number>> = { secret: 65_536, public: 2 ** 20 }

/** A file's text, or why it is not used, as the end of "NAME …". */
export type ReadFile = { readonly text: string } | { readonly fault: string }

/** Reads a file that a variable names, if it may be trusted (`trustFault`). Faults never quote its content. */
export function readTrustedFile(path: string, content: Content, sharedFolders: readonly string[]): ReadFile {
  const limit = LIMITS[content]
  try {
    const fd = openSync(path, 'r')
    try {
      const stats = fstatSync(fd)
      if (stats.isDirectory()) return { fault: `names a folder, ${path}` }
      const distrust = trustFault(path, stats, content, sharedFolders)
      if (distrust !== undefined) return { fault: `names ${path}, which ${distrust}` }
      const bytes = Buffer.alloc(limit + 1)
      let length = 0
      for (let n = -1; n !== 0 && length < bytes.length; length += n)
        n = readSync(fd, bytes, length, bytes.length - length, null)
      if (length > limit) return { fault: `names ${path}, which is longer than ${limit} bytes` }
      const text = bytes.toString('utf8', 0, length).replace(/\r?\n$/, '')
      bytes.fill(0)
      return text === '' ? { fault: `names ${path}, which is empty` } : { text }
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    return { fault: `names ${path}, which can't be read (${errnoName(error)})` }
  }
}

/** Why a secret's file that another process will read is not used, or undefined. Never opened. */
export function secretFileFault(path: string, sharedFolders: readonly string[]): string | undefined {
  try {
    const stats = statSync(path)
    if (stats.isDirectory()) return `names a folder, ${path}`
    const distrust = trustFault(path, stats, 'secret', sharedFolders)
    return distrust === undefined ? undefined : `names ${path}, which ${distrust}`
  } catch (error) {
    return `names ${path}, which can't be found (${errnoName(error)})`
  }
}
