/** docs/design/format.md must stand alone in ten years: what can be compared with the code is compared. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { FORMAT_ERROR_CODES } from '../src/errors.js'
import { AT, MAGIC } from '../src/header.js'
import { LABELS } from '../src/mac.js'
import { parseVectorFile } from './vector-file.js'

const text = readFileSync(new URL('../../../docs/design/format.md', import.meta.url), 'utf8')

describe('docs/design/format.md', () => {
  it('explains every code, and no other', () => {
    const table = text.slice(text.indexOf('### Codes'), text.indexOf('## 9.'))
    const explained = [...table.matchAll(/^\| `(E_[A-Z_]+)`/gm)].map(([, code]) => code)
    expect(explained).toEqual([...FORMAT_ERROR_CODES])
    expect(new Set(text.match(/E_[A-Z]+(_[A-Z]+)*/g))).toEqual(new Set(FORMAT_ERROR_CODES))
  })

  it('has the offsets and sizes of the header, without a gap', () => {
    const rows = [...text.matchAll(/^\| 0x([0-9A-F]{3}) +\| (\d+) +\| (\d+) +\|/gm)]
    let next = 0
    for (const [, hexOffset = '', offset = '', size = ''] of rows) {
      expect(parseInt(hexOffset, 16)).toBe(next)
      expect(Number(offset)).toBe(next)
      next += Number(size)
    }
    expect(next).toBe(320)
    expect(rows.map(([, offset = '']) => parseInt(offset, 16))).toEqual(Object.values(AT))
    expect(text).toContain(MAGIC.toString('hex').toUpperCase().replace(/..\B/g, '$& '))
  })

  it('names every label', () => {
    for (const label of Object.values(LABELS))
      expect(text).toContain(`\`${label.toString('latin1').replace(/\0+$/, '')}\``)
  })

  it('shows a known answer of the vectors', () => {
    const file = readFileSync(new URL('vectors/sfv1-public.json', import.meta.url), 'utf8')
    const expected = parseVectorFile(file).find(({ name }) => name === 's1-len1')?.expected
    const { k_sig, kc, htag, first_tag, fmac, object_sha256, object_len } = expected ?? {}
    for (const value of [k_sig, kc, htag, first_tag, fmac, object_sha256, object_len])
      expect(text).toContain(` ${value}\n`)
  })
})
