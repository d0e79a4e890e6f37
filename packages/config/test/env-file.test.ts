import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { findEnvFile, parseEnvFile } from '../src/env-file.js'
import { ConfigError } from '../src/problem.js'

describe('parseEnvFile', () => {
  test.each([
    ['plain', 'A=b', 'b'],
    ['empty', 'A=', ''],
    ['spaces around', '  A = b c  ', 'b c'],
    ['export', 'export A=b', 'b'],
    ['an equals sign in the value', 'A=b=c', 'b=c'],
    ['a comment after it', 'A=b # c', 'b'],
    ['a hash inside it', 'A=b#c', 'b#c'],
    ['only a comment after it', 'A= # c', ''],
    ['single quotes', "A='b # $c \\n'", 'b # $c \\n'],
    ['double quotes', 'A="b # \\"c\\" \\\\ \\$d\\n"', 'b # "c" \\ $d\n'],
    ['quotes and a comment', 'A="b" # c', 'b'],
    ['a dollar sign', 'A=$HOME', '$HOME'],
    ['CRLF', 'A=b\r\nC=d\r\n', 'b'],
    ['a byte order mark', '\uFEFFA=b', 'b'],
    ['comments and blank lines around', '# x\n\nA=b\n#y', 'b'],
  ])('takes %s', (_, text, value) => {
    const file = parseEnvFile(text)
    expect(file.problems).toEqual([])
    expect(file.values.get('A')).toBe(value)
  })

  test.each([
    ['no equals sign', 'A'],
    ['a name with a dash', 'A-B=topsecret'],
    ['an unfinished quote', 'A="topsecret'],
    ['text after a quote', "A='topsecret'x"],
    ['an unknown escape', 'A="topsecret\\x41"'],
    ['a NUL', 'A=topsecret\0'],
    ['a name twice', 'A=x\nA=topsecret'],
  ])('names the line of %s, never its value', (_, text) => {
    const { problems } = parseEnvFile(`# first\n${text}`, 'env')
    expect(problems).toHaveLength(1)
    expect(problems[0]?.variable).toMatch(/^env, line [23],$/)
    expect(JSON.stringify(problems)).not.toContain('topsecret')
  })
})

describe('findEnvFile', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sealfleet-config-'))
    mkdirSync(join(folder, '.sealfleet'))
    mkdirSync(join(folder, 'a', 'b'), { recursive: true })
    writeFileSync(join(folder, '.sealfleet', 'env'), 'A=b\n', { mode: 0o600 })
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  test('finds the nearest one upward', () => {
    expect(findEnvFile(join(folder, 'a', 'b'))).toBe(join(folder, '.sealfleet', 'env'))
    expect(findEnvFile(folder)).toBe(join(folder, '.sealfleet', 'env'))
  })

  test('finds none where there is none', () => {
    rmSync(join(folder, '.sealfleet'), { recursive: true })
    expect(findEnvFile(join(folder, 'a', 'b'))).toBeUndefined()
  })

  test.each([
    ['write', 0o620],
    ['read', 0o604],
  ])('refuses one that others can %s: it names a library to load, and holds secrets', (what, mode) => {
    chmodSync(join(folder, '.sealfleet', 'env'), mode)
    expect(() => findEnvFile(folder)).toThrow(ConfigError)
    expect(() => findEnvFile(folder)).toThrow(what === 'read' ? /can be read by others/ : /can be written by others/)
  })
})
