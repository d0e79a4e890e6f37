import { readFile } from 'node:fs/promises'
import { runInThisContext } from 'node:vm'
import * as records from '@sealfleet/records'
import * as files from '@sealfleet/records/files'
import * as fleet from '@sealfleet/records/fleet'
import ts from 'typescript'
import { expect, test, vi } from 'vitest'
import * as queue from '../src/index.js'
import { openOutboxHouse } from './outbox-house.js'
import { startRedis } from './private-redis.js'

const PACKAGES: Readonly<Record<string, object>> = {
  '@sealfleet/queue': queue,
  '@sealfleet/records': records,
  '@sealfleet/records/files': files,
  '@sealfleet/records/fleet': fleet,
}

type Example = (given: object) => Promise<{
  readonly fileId: string
  readonly results: readonly queue.EnqueueResult[]
  readonly ended: ReadonlyMap<string, queue.FileStatus>
}>

/** The first example of README.md as a function of the variables that it leaves to its reader. */
async function exampleOf(readme: URL): Promise<Example> {
  const [, text = ''] = /```ts\n([^]*?)```/.exec(await readFile(readme, 'utf8')) ?? []
  const imports = [...text.matchAll(/^import (\{.*\}) from '(.*)'$/gm)]
  const opened = imports.map(([, names, from]) => `const ${names} = packages['${from}']`).join('\n')
  const body = text.replaceAll(/^import .*$/gm, '')
  const source = `(async ({ packages, databaseUrl, redisUrl, requests, console }) => {
    ${opened}
    ${body}
    return { fileId, results, ended }
  })`
  const options = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext }
  const example = runInThisContext(ts.transpileModule(source, { compilerOptions: options }).outputText) as Example
  return (given) => example({ packages: PACKAGES, ...given })
}

test('the example of the README runs as written', async () => {
  await using house = await openOutboxHouse()
  await using redis = await startRedis()
  const example = await exampleOf(new URL('../README.md', import.meta.url))
  const log = vi.fn()
  const running = example({
    databaseUrl: house.url,
    redisUrl: redis.url,
    requests: [
      { root: 'inbox', path: 'b' },
      { root: 'inbox', path: '/c' },
    ],
    console: { log },
  })
  const end = async (): Promise<void> => {
    const { rowCount } = await house.sql.query(
      `UPDATE files SET state = 'DISCARDED' WHERE source_path = '2026/a.pdf' AND state = 'QUEUED'`,
    )
    expect(rowCount).toBe(1)
  }
  const [{ fileId, results, ended }] = await Promise.all([running, vi.waitFor(end, { timeout: 30_000 })])
  expect(fileId).toBe(queue.fileIdFor('invoice 17'))
  expect(results.map(({ outcome }) => outcome)).toEqual(['queued', 'invalid'])
  expect(log).toHaveBeenCalledWith('2 files')
  expect(ended.get(fileId)).toMatchObject({ state: 'DISCARDED' })
})
