import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createWorld, type World } from './support/world.js'

interface Listed {
  readonly files: readonly { readonly fileId: string; readonly source: { readonly path: string } }[]
}
interface Failed {
  readonly error: { readonly code: string; readonly message: string; readonly fix?: string }
}

let world: World
beforeAll(async () => {
  world = await createWorld()
  expect((await cli('keys', 'init')).status).toBe(0)
  await mkdir(path.join(world.data, '2026'))
  for (const name of ['2026/a.pdf', '2026/b.pdf', 'x:y', 'a\nb\u202e.pdf']) await enqueue(name)
})
afterAll(() => world?.[Symbol.asyncDispose]())

const cli = (...args: readonly string[]) => world.inProcess([...args])
const list = async (...args: readonly string[]): Promise<readonly string[]> =>
  (await cli('list', '--json', ...args)).json<Listed>().files.map(({ source }) => source.path)

async function enqueue(name: string, ...args: readonly string[]): Promise<void> {
  await writeFile(path.join(world.data, name), `${name} ${Math.random()}`)
  const ran = await cli('enqueue', name, ...args)
  expect(ran.status, ran.stderr).toBe(0)
}

async function idsOf(name: string): Promise<readonly string[]> {
  const { files } = (await cli('list', '--json', '--root', 'data', '--prefix', name)).json<Listed>()
  return files.filter(({ source }) => source.path === name).map(({ fileId }) => fileId)
}

it('a source as the list prints it is taken where an id is', async () => {
  const [id = ''] = await idsOf('2026/a.pdf')
  expect((await cli('list')).stdout.toString()).toContain('data:2026/a.pdf')
  expect((await cli('trace', 'data:2026/a.pdf', '--json')).json<{ file: { id: string } }>().file.id).toBe(id)
  expect((await cli('status', 'data:2026/a.pdf')).stdout.toString()).toContain(id)
  // What is refused is refused for the file that was meant.
  for (const verb of [['rm', '--reason', 'x', '--yes'], ['verify']]) {
    const [name = '', ...options] = verb
    const { error } = (await cli(name, 'data:2026/a.pdf', ...options, '--json')).json<Failed>()
    expect([name, error.message]).toEqual([name, expect.stringContaining(id) as unknown])
  }
  const missing = await cli('trace', 'data:2026/nonesuch', '--json')
  expect([missing.status, missing.json<Failed>().error.message]).toEqual([
    4,
    expect.stringContaining('no file was accepted from data:2026/nonesuch') as unknown,
  ])
})

it('a source that was sealed more than once, or is also an id, is refused with the ids', async () => {
  await enqueue('2026/b.pdf')
  const ids = await idsOf('2026/b.pdf')
  expect(ids).toHaveLength(2)
  const ran = await cli('trace', 'data:2026/b.pdf')
  expect([ran.status, ran.stderr]).toEqual([2, expect.stringMatching(/AMBIGUOUS: data:2026\/b\.pdf names 2 files\n/)])
  for (const id of ids) expect(ran.stderr).toContain(`\n  ${id}  QUEUED  accepted `)
  await writeFile(path.join(world.data, 'other'), 'x')
  expect((await cli('enqueue', 'other', '--id', 'data:2026/a.pdf')).status).toBe(0)
  expect((await cli('status', 'data:2026/a.pdf')).stderr).toMatch(/names 2 files\n.* by that text as its foreign id\n/)
})

it('--prefix is taken as the list prints sources; beside --root it is the path alone', async () => {
  expect(new Set(await list('--prefix', 'data:2026/'))).toEqual(new Set(['2026/a.pdf', '2026/b.pdf']))
  expect(await list('--prefix', 'other:2026/')).toEqual([])
  expect(await list('--prefix', '2026/a')).toEqual(['2026/a.pdf'])
  expect(await list('--prefix', 'x:y', '--root', 'data')).toEqual(['x:y'])
})

it('a name is shown with what cannot be seen escaped, on every way out, and exactly in JSON', async () => {
  const shown = 'a\\nb\\u{202E}.pdf'
  const [id = ''] = await idsOf('a\nb\u202e.pdf')
  for (const args of [['list'], ['status', id], ['trace', id]]) {
    const text = (await cli(...args)).stdout.toString()
    expect(text).toContain(`data:${shown}`)
    expect(text).not.toMatch(/\u202e/)
  }
  const json = (await cli('status', id, '--json')).stdout.toString()
  expect(json).not.toMatch(/\u202e/)
  expect(JSON.parse(json)).toMatchObject({ source: { path: 'a\nb\u202e.pdf' } })
})
