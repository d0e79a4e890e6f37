import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { VectorFileError, parseVectorFile } from './vector-file.js'
import { runVector } from './vector-run.js'

function text(name: string): string {
  return readFileSync(new URL(`vectors/${name}`, import.meta.url), 'utf8')
}

describe.each(['sfv1-public.json', 'sfv1-reference.json'])('%s', (name) => {
  it.each(parseVectorFile(text(name)))('$name', async (vector) => {
    await runVector(vector)
  })
})

describe('the runner', () => {
  const file = JSON.parse(text('sfv1-public.json')) as { inputs: object; vectors: [Record<string, unknown>] }
  const [first] = file.vectors
  const withVector = (vector: object) => JSON.stringify({ ...file, vectors: [vector] })

  it.each(Object.keys(first).filter((key) => !['name', 'suite', 'pt', 'pt_len'].includes(key)))(
    'notices another %s',
    async (key) => {
      const value = first[key]
      const other = typeof value === 'string' ? value.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) : 2
      const [vector] = parseVectorFile(withVector({ ...first, [key]: other }))
      if (!vector) throw new Error('no vector')
      await expect(runVector(vector)).rejects.toThrow(`${key} is `)
    },
  )

  it('needs no expectation, and takes plaintext as hex', async () => {
    const [vector] = parseVectorFile(withVector({ name: 'bare', suite: 2, pt_len: 3, pt: '010203' }))
    if (!vector) throw new Error('no vector')
    await runVector(vector)
  })

  it('runs detached vectors, and refuses flags and KEK versions that contradict each other', async () => {
    const bare = { suite: 1, pt_len: 3, pt: 'pat' }
    const [good, bad] = parseVectorFile(
      JSON.stringify({
        ...file,
        vectors: [
          { ...bare, flags: 1, kek: 9 },
          { ...bare, flags: 1 },
        ],
      }),
    )
    if (!good || !bad) throw new Error('no vectors')
    await runVector(good)
    await expect(runVector(bad)).rejects.toThrow('kek must be 0 exactly when')
  })

  it.each([
    ['no JSON', '{', 'not JSON'],
    ['no object', '[]', 'one object'],
    ['no inputs', '{"vectors":[]}', '"inputs" must be an object'],
    ['no vectors', JSON.stringify({ inputs: file.inputs }), '"vectors" must be an array'],
    ['an empty list', JSON.stringify({ ...file, vectors: [] }), '"vectors" is empty'],
    ['a vector that is none', JSON.stringify({ ...file, vectors: [7] }), 'vector 1 must be an object'],
    ['an unknown suite', withVector({ ...first, suite: 3 }), '"suite" must be 1 or 2'],
    ['a length that is none', withVector({ ...first, pt_len: -1 }), '"pt_len" must be a whole number'],
    ['odd hex', withVector({ ...first, ne: 'abc' }), '"ne" must be hex of 32 bytes'],
    ['a short id', withVector({ ...first, fid: 'abcd' }), '"fid" must be hex of 16 bytes'],
    ['plaintext of another length', withVector({ ...first, pt: 'abcd' }), '"pt" must be hex of 0 bytes'],
    ['an expectation that is no hex', withVector({ ...first, kc: 7 }), '"kc" must be hex'],
  ])('refuses %s in a sentence', (_, malformed, message) => {
    expect(() => parseVectorFile(malformed)).toThrow(VectorFileError)
    expect(() => parseVectorFile(malformed)).toThrow(message)
  })
})
