import { randomUUID } from 'node:crypto'
import { link, open, rename, rm } from 'node:fs/promises'
import type { StoredContent } from './download.js'

/**
 * Writes a download into a file that appears when it is whole, and not before; after a failure nothing is left.
 * @throws EEXIST when something has that name, unless `overwrite`; the errors of the download and of the disk
 */
export async function saveAs(content: StoredContent, path: string, overwrite: boolean): Promise<void> {
  const part = `${path}.${randomUUID().slice(0, 8)}.part`
  const file = await open(part, 'wx', 0o600)
  try {
    try {
      for await (const chunk of content) await file.writev([chunk])
      await file.sync()
    } finally {
      await file.close()
    }
    // A link refuses a name that is taken; a rename would replace it.
    if (overwrite) await rename(part, path)
    else await link(part, path)
  } finally {
    await rm(part, { force: true })
  }
}
