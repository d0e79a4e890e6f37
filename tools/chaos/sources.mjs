/**
 * Source files with a known history: zeros with a stamp of (file, version, place) every 4 KiB, so that ciphertext shows
 * its keystream, and a restored file can be told from every other and from a mixture of two versions.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, rename, truncate, unlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

const STAMP_EVERY = 4_096

/**
 * @typedef {object} Source
 * @property {string} fileId
 * @property {string} domain
 * @property {string} path below the root `in`
 * @property {Set<string>} versions SHA-256 of each content that it ever had whole
 * @property {number} size
 * @property {boolean} there
 */

export class Sources {
  #root
  /** @type {Map<string, Source>} by file id */
  all = new Map()

  /** @param {string} root */
  constructor(root) {
    this.#root = root
  }

  /** @param {{ fileId: string, domain: string, size: number }} file @returns {Promise<Source>} */
  async make({ fileId, domain, size }) {
    /** @type {Source} */
    const source = { fileId, domain, path: `${fileId.slice(0, 2)}/${fileId}`, versions: new Set(), size, there: false }
    this.all.set(fileId, source)
    await this.putBack(source)
    return source
  }

  /** Another content of the same size, by one write. False when there is nothing to change. @param {Source} source */
  async change(source) {
    if (!source.there || source.size < 64) return false
    const file = await open(this.#pathOf(source), 'r+')
    try {
      await file.write(stamp(`${source.fileId} changed ${source.versions.size}`), 0, 64, 0)
    } finally {
      await file.close()
    }
    await this.#remember(source)
    return true
  }

  /** @param {Source} source @param {number} bytes */
  async grow(source, bytes) {
    if (!source.there) return false
    const file = await open(this.#pathOf(source), 'a')
    try {
      await file.write(Buffer.alloc(bytes))
    } finally {
      await file.close()
    }
    await this.#remember(source)
    return true
  }

  /** @param {Source} source */
  async shrink(source) {
    if (!source.there || source.size < 2) return false
    await truncate(this.#pathOf(source), Math.floor(source.size / 2))
    await this.#remember(source)
    return true
  }

  /** @param {Source} source */
  async remove(source) {
    if (!source.there) return false
    source.there = false
    await unlink(this.#pathOf(source))
    return true
  }

  /** Makes the file present and whole, in one step. @param {Source} source */
  async putBack(source) {
    if (source.there) return
    const path = this.#pathOf(source)
    await mkdir(dirname(path), { recursive: true })
    const content = Buffer.alloc(source.size)
    for (let at = 0; at + 64 <= source.size; at += STAMP_EVERY) stamp(`${source.fileId} ${at}`).copy(content, at)
    await writeFile(`${path}.new`, content)
    await rename(`${path}.new`, path)
    source.there = true
    await this.#remember(source)
  }

  /** @param {Source} source */
  async #remember(source) {
    const hash = createHash('sha256')
    let size = 0
    for await (const chunk of createReadStream(this.#pathOf(source))) {
      hash.update(/** @type {Buffer} */ (chunk))
      size += /** @type {Buffer} */ (chunk).length
    }
    source.size = size
    source.versions.add(hash.digest('hex'))
  }

  /** @param {Source} source */
  #pathOf({ path }) {
    return join(this.#root, path)
  }
}

/** 64 bytes that stand for a text. @param {string} text */
function stamp(text) {
  return createHash('sha512').update(text).digest()
}
