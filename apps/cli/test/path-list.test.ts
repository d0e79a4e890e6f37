import { Readable } from 'node:stream'
import { expect, it } from 'vitest'
import { readPathList, type ListEntry } from '../src/commands/enqueue/path-list.js'

async function read(chunks: readonly (string | Buffer)[], nul = false): Promise<readonly ListEntry[]> {
  const list = Readable.from(chunks.map((chunk) => Buffer.from(chunk)))
  const entries: ListEntry[] = []
  for await (const entry of readPathList(list, { nul })) entries.push(entry)
  return entries
}
const paths = (entries: readonly ListEntry[]) => entries.map(({ path }) => path)

it('reads a path a line, wherever the chunks are cut; empty lines are none', async () => {
  for (const size of [1, 2, 3, 100]) {
    const whole = Buffer.from('a b\n\nc/\u00e9\n [x]*\nlast')
    const chunks: Buffer[] = []
    for (let at = 0; at < whole.length; at += size) chunks.push(whole.subarray(at, at + size))
    expect(paths(await read(chunks))).toEqual(['a b', 'c/\u00e9', ' [x]*', 'last'])
  }
})

it('reads paths that end with NUL, with line breaks in them', async () => {
  expect(paths(await read(['a\nb\0', 'c\0'], true))).toEqual(['a\nb', 'c'])
})

it('tells apart what is not UTF-8, keeps a real U+FFFD, and refuses what is no list', async () => {
  const entries = await read(['x\ufffd\n', Buffer.of(0x79, 0xff, 0x0a)])
  expect(entries).toMatchObject([{ path: 'x\ufffd' }, { unnameable: { shown: 'y\\xff' } }])
  expect(await read(['\n\n'])).toEqual([])
  await expect(read(['a'.repeat(5_000)])).rejects.toMatchObject({ code: 'USAGE' })
})

it('gives each path when its line has ended, not when the list has', async () => {
  const list = new Readable({ read() {} })
  const entries = readPathList(list, { nul: false })
  list.push('one\ntwo')
  expect((await entries.next()).value).toEqual({ path: 'one' })
  list.push('\n')
  expect((await entries.next()).value).toEqual({ path: 'two' })
  list.push(null)
  expect((await entries.next()).done).toBe(true)
})
