import { mkdtemp, open, rm, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Bytes of an id. */
const ID = 16
/** Distinct ids in memory: some 30 MB of them. Most counts stay below. */
const PAGE = 1 << 18
/** Ids of one page that are read back at a time while pages are merged. */
const WINDOW = 256

/**
 * Counts distinct ids, however many there are, in the memory of one page of them: a full page is sorted into an unnamed
 * file; at the end the pages are merged in order. File ids are not secret. Dispose of it.
 */
export class DistinctIds implements AsyncDisposable {
  readonly #size: number
  readonly #pages: number[] = []
  #page = new Set<string>()
  #spill: FileHandle | undefined
  #end = 0
  #last = ''

  /** @param page number of ids held in memory */
  constructor(page = PAGE) {
    this.#size = page
  }

  /** @param id a UUID. @throws the file system's error when a page cannot be written */
  async add(id: string): Promise<void> {
    // A listing names the objects of one file one after the other.
    if (id === this.#last) return
    this.#last = id
    this.#page.add(id.replaceAll('-', '').toLowerCase())
    if (this.#page.size >= this.#size) await this.#putAway()
  }

  /** The number of distinct ids added. */
  async count(): Promise<number> {
    if (this.#pages.length === 0) return this.#page.size
    if (this.#page.size > 0) await this.#putAway()
    let [count, last] = [0, '']
    for await (const id of this.#merged()) {
      if (id !== last) count++
      last = id
    }
    return count
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#spill?.close()
    this.#spill = undefined
  }

  async #putAway(): Promise<void> {
    this.#spill ??= await namelessFile()
    const bytes = Buffer.from([...this.#page].sort().join(''), 'hex')
    this.#page = new Set()
    for (let done = 0; done < bytes.length;)
      done += (await this.#spill.write(bytes, done, bytes.length - done, this.#end + done)).bytesWritten
    this.#end += bytes.length
    this.#pages.push(this.#end)
  }

  /** The ids of all pages in order; a repeated id appears once per page. */
  async *#merged(): AsyncGenerator<string> {
    // The next id of each page, the least one last.
    const heads: Head[] = []
    for (const [index, end] of this.#pages.entries())
      await putNext(heads, this.#idsOf(index === 0 ? 0 : (this.#pages[index - 1] ?? 0), end))
    for (let least = heads.pop(); least !== undefined; least = heads.pop()) {
      yield least.id
      await putNext(heads, least.rest)
    }
  }

  async *#idsOf(start: number, end: number): AsyncGenerator<string> {
    if (this.#spill === undefined) return
    const window = Buffer.alloc(WINDOW * ID)
    for (let at = start; at < end;) {
      const { bytesRead } = await this.#spill.read(window, 0, Math.min(window.length, end - at), at)
      // An unlinked file keeps the length that was written.
      if (bytesRead < ID) throw new Error('the file with the ids that were counted is cut short')
      const whole = bytesRead - (bytesRead % ID)
      for (let i = 0; i < whole; i += ID) yield window.toString('hex', i, i + ID)
      at += whole
    }
  }
}

interface Head {
  readonly id: string
  readonly rest: AsyncGenerator<string>
}

/** Inserts the next id of a page at its place, if there is one. */
async function putNext(heads: Head[], rest: AsyncGenerator<string>): Promise<void> {
  const next = await rest.next()
  if (next.done === true) return
  const id = next.value
  let [from, to] = [0, heads.length]
  while (from < to) {
    const middle = (from + to) >>> 1
    if ((heads[middle]?.id ?? '') > id) from = middle + 1
    else to = middle
  }
  heads.splice(from, 0, { id, rest })
}

/** The file disappears with its handle, however the process ends. */
async function namelessFile(): Promise<FileHandle> {
  const dir = await mkdtemp(join(tmpdir(), 'sealfleet-'))
  try {
    return await open(join(dir, 'ids'), 'wx+', 0o600)
  } finally {
    await rm(dir, { recursive: true })
  }
}
