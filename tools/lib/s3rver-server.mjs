/**
 * s3rver as its own program would run it, with one fault of 3.7.1 fixed: it answers a PUT once the body was *read*,
 * while the file may still be empty or missing. So on a busy machine a read after a write finds no object, a truncated
 * one (416), or a multipart object of truncated parts. Here bodies are written whole beside the data and then renamed
 * into place, so a key shows its old bytes or its new ones and nothing between. It also requires its secret: requests
 * not signed with it are refused, where s3rver alone accepts any secret, and none.
 *
 *     S3RVER_ACCESS_KEY_ID=… S3RVER_SECRET_ACCESS_KEY=… node --openssl-legacy-provider s3rver-server.mjs DATA-DIRECTORY PORT
 */
import { createHash, randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { refusalOf } from './sigv4.mjs'

/** @typedef {{ bucket: string, key: string, content: NodeJS.ReadableStream | Buffer, metadata: object }} S3Object */
/** @typedef {{ size: number, md5: string }} Stored */
/**
 * The used part of s3rver, which has no types of its own: lib/s3rver.js and lib/stores/filesystem.js.
 * @typedef {object} Store
 * @property {(bucket: string, key: string | undefined, resource: string) => string} getResourcePath
 * @property {(bucket: string, key: string, metadata: object, md5: string) => Promise<void>} putMetadata
 * @property {(object: S3Object) => Promise<Stored>} putObject
 * @property {(bucket: string, uploadId: string, part: string | number, content: NodeJS.ReadableStream) => Promise<Stored>} putPart
 */
/** @typedef {{ req: import('node:http').IncomingMessage, set: (name: string, value: string) => void }} Context of Koa */
/** @typedef {(context: Context, next: () => Promise<unknown>) => Promise<unknown>} Middleware */
/** @type {new (options: object) => { store: Store, middleware: Middleware[], run: () => Promise<unknown> }} */
const S3rver = createRequire(import.meta.url)('s3rver')
/** @type {new (code: string, message: string) => Error} */
const S3Error = createRequire(import.meta.url)('s3rver/lib/models/error')
/** @type {{ DUMMY_ACCOUNT: { createKeyPair: (id: string, secret: string) => void, revokeAccessKey: (id: string) => void } }} */
const { DUMMY_ACCOUNT } = createRequire(import.meta.url)('s3rver/lib/models/account')

const [directory = '', port = ''] = process.argv.slice(2)
// Not below the data: lists walk through that, and fail on files that vanish meanwhile.
const incoming = join(dirname(directory), 'incoming')
await rm(incoming, { recursive: true, force: true })
await mkdir(incoming, { recursive: true })

/**
 * Writes a body to `path`, whole or not at all.
 *
 * @param {NodeJS.ReadableStream | Buffer} content
 * @param {string} path
 * @returns {Promise<Stored>} size in bytes, MD5 in hexadecimal
 */
async function writeWhole(content, path) {
  const partial = join(incoming, randomUUID())
  const md5 = createHash('md5')
  let size = 0
  const measure = new Transform({
    transform(/** @type {Buffer} */ chunk, _encoding, done) {
      md5.update(chunk)
      size += chunk.length
      done(null, chunk)
    },
  })
  try {
    await pipeline(Buffer.isBuffer(content) ? [content] : content, measure, createWriteStream(partial))
    await moveTo(path, partial)
  } finally {
    await rm(partial, { force: true })
  }
  return { size, md5: md5.digest('hex') }
}

/** Once more if a deletion removed the empty folder in between. @param {string} path @param {string} partial */
async function moveTo(path, partial) {
  for (let tries = 1; ; tries++) {
    await mkdir(dirname(path), { recursive: true })
    try {
      await rename(partial, path)
      return
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT' || tries === 10) throw error
    }
  }
}

const server = new S3rver({ directory, address: '127.0.0.1', port: Number(port), vhostBuckets: false, silent: true })
const { store } = server
const pair = {
  accessKeyId: fromEnvironment('S3RVER_ACCESS_KEY_ID'),
  secretAccessKey: fromEnvironment('S3RVER_SECRET_ACCESS_KEY'),
}
DUMMY_ACCOUNT.revokeAccessKey('S3RVER')
DUMMY_ACCOUNT.createKeyPair(pair.accessKeyId, pair.secretAccessKey)
// In front of everything else that s3rver does.
server.middleware.unshift(async (context, next) => {
  const refusal = refusalOf(context.req, pair)
  if (refusal === undefined) return await next()
  // A body still in transit is read and dropped: a client whose connection breaks would not read the answer.
  context.req.resume()
  throw new S3Error(refusal.code, refusal.message)
})
/** @type {Store['putObject']} */
store.putObject = async ({ bucket, key, content, metadata }) => {
  const stored = await writeWhole(content, store.getResourcePath(bucket, key, 'object'))
  await store.putMetadata(bucket, key, metadata, stored.md5)
  return stored
}
/** @type {Store['putPart']} */
store.putPart = async (bucket, uploadId, part, content) => {
  const path = join(store.getResourcePath(bucket, undefined, 'uploads'), uploadId, String(part))
  const stored = await writeWhole(content, path)
  await writeFile(`${path}.md5`, stored.md5)
  return stored
}
await server.run()

/** @param {string} name */
function fromEnvironment(name) {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set: this server serves no one without a key pair`)
  return value
}
