import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'

import { bundleFolder, bundlePrograms } from '../lib/bundle.mjs'

const run = promisify(execFile)

test('what was bundled from the present state is not bundled again', async () => {
  expect(await bundlePrograms()).toBe(false)
})

test.each(['worker', 'maintenance', 'ops'])('the bundled %s starts and describes itself', async (program) => {
  const { stdout } = await run(process.execPath, [join(bundleFolder, `${program}.mjs`), '--help'])
  expect(stdout).toContain(`node bundle/${program}.mjs`)
})

test('the bundled command line is the one that is built', async () => {
  const { stdout } = await run(process.execPath, [join(bundleFolder, 'sealfleet.mjs'), '--version'])
  const manifest = JSON.parse(await readFile(join(bundleFolder, '../apps/cli/package.json'), 'utf8')) as {
    version: string
  }
  expect(stdout.trim()).toBe(manifest.version)
})

/** Drivers of what a command may open. Each is loaded when it is opened: evaluating all of them takes half a second. */
const DRIVERS = ['@aws-sdk/client-s3', 'bullmq', 'ioredis', 'pg', 'prom-client']

describe('a command loads what it needs', async () => {
  const chunks = await readChunks()
  const chunkWith = (text: string): string => {
    const found = [...chunks].find(([, chunk]) => chunk.code.includes(text))
    if (found === undefined) throw new Error(`no chunk has ${text}`)
    return found[0]
  }
  /** The drivers in a chunk and in all that it imports before it runs. */
  const driversOf = (file: string): readonly string[] => {
    const seen = new Set([file])
    for (const next of seen) for (const imported of chunks.get(next)?.imports ?? []) seen.add(imported)
    return DRIVERS.filter((name) => [...seen].some((one) => chunks.get(one)?.packages.has(name)))
  }
  const lazyOf = (file: string): readonly string[] =>
    [...(chunks.get(file)?.code ?? '').matchAll(/\bimport\("\.\/([^"]+)"\)/g)].map(([, name = '']) => name)

  test('the command line itself, and each verb until it opens something, loads no driver', () => {
    const start = 'sealfleet.mjs'
    // It examines every dependency.
    const verbs = lazyOf(start).filter((file) => !file.startsWith('doctor-'))
    expect(verbs.length).toBeGreaterThan(20)
    for (const file of [start, ...verbs]) expect([file, ...driversOf(file)]).toEqual([file])
  })

  test('each dependency brings its own driver and no other', () => {
    const opened = new Set(
      lazyOf(chunkWith('async function openConfiguredRecords')).map((file) => driversOf(file).join()),
    )
    expect(opened).toEqual(new Set(['pg', 'ioredis', '@aws-sdk/client-s3', '']))
  })
})

test('WebAssembly is a file beside the chunks, not a text that each start parses and decodes', async () => {
  // The first bytes of every WebAssembly module, in base64.
  const texts = [...(await readChunks())].filter(([, { code }]) => code.includes('AGFzbQ'))
  expect(texts.map(([file]) => file)).toEqual([])
})

interface Chunk {
  readonly code: string
  /** files that are loaded before it */
  readonly imports: readonly string[]
  /** packages of node_modules whose code it holds, by the comment above each module */
  readonly packages: ReadonlySet<string>
}

async function readChunks(): Promise<ReadonlyMap<string, Chunk>> {
  const files = (await readdir(bundleFolder)).filter((file) => file.endsWith('.mjs'))
  const read = async (file: string): Promise<[string, Chunk]> => {
    const code = await readFile(join(bundleFolder, file), 'utf8')
    const imports = [...code.matchAll(/^(?:import|export)\b[^;(]*?"\.\/([^"]+)";$/gm)].map(([, name = '']) => name)
    const modules = code.matchAll(/^\s*\/\/ (?:#region )?node_modules\/(@[^/]+\/[^/]+|[^/]+)\//gm)
    return [file, { code, imports, packages: new Set([...modules].map(([, name = '']) => name)) }]
  }
  return new Map(await Promise.all(files.map(read)))
}
