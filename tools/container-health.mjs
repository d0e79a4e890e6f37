/** `node tools/container-health.mjs URL`: exit status 0 when it answers 200 within 5 s. For images without curl. */
import process from 'node:process'

const url = process.argv[2]
if (!url) throw new Error('usage: container-health.mjs URL')
const response = await fetch(url, { signal: AbortSignal.timeout(5_000) })
await response.arrayBuffer()
if (!response.ok) process.exitCode = 1
