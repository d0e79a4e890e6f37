// s3rver as it comes: an S3 server that takes any secret. Prints its port when it serves the bucket `open`.
//     node --openssl-legacy-provider credulous-store.mjs DIRECTORY
import { createRequire } from 'node:module'

/** @type {new (options: object) => { run: () => Promise<{ port: number }> }} */
const S3rver = createRequire(import.meta.url)('s3rver')
const directory = process.argv[2]
const configureBuckets = [{ name: 'open' }]
const { port } = await new S3rver({ port: 0, address: '127.0.0.1', silent: true, directory, configureBuckets }).run()
process.stdout.write(`${port}\n`)
