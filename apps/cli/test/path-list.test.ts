import { Readable } from 'node:stream'
import { expect, it } from 'vitest'
import { readPathList } from '../src/enqueue/path-list.js'

const read = (chunks: readonly (string | Buffer)[], nul = false) =>
  readPathList(Readable.from(chunks.map((chunk) => Buffer.from(chunk))), { nul })

it('reads a path a line, wherever the chunks are cut; empty lines are none', async () => {
  for (const size of [1, 2, 3, 100]) {
    const whole = Buffer.from('a b\n\nc/\u00e9\n [x]*\nlast')
    const chunks: Buffer[] = []
    for (let at = 0; at < whole.length; at += size) chunks.push(whole.subarray(at, at + size))
    expect(await read(chunks)).toEqual({ paths: ['a b', 'c/\u00e9', ' [x]*', 'last'], unnameable: [] })
  }
})

it('reads paths that end with NUL, with line breaks in them', async () => {
  expect((await read(['a\nb\0', 'c\0'], true)).paths).toEqual(['a\nb', 'c'])
})

it('tells apart what is not UTF-8, keeps a real U+FFFD, and refuses what is no list', async () => {
  const { paths, unnameable } = await read(['x\ufffd\n', Buffer.of(0x79, 0xff, 0x0a)])
  expect(paths).toEqual(['x\ufffd'])
  expect(unnameable.map(({ shown }) => shown)).toEqual(['y\\xff'])
  await expect(read(['\n\n'])).rejects.toMatchObject({ code: 'SOURCE_MISSING' })
  await expect(read(['a'.repeat(5_000)])).rejects.toMatchObject({ code: 'USAGE' })
})
