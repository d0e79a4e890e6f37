/** The C code without Node, under AddressSanitizer and UndefinedBehaviorSanitizer: test/native/segment-test.c. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const folder = mkdtempSync(join(tmpdir(), 'sealfleet-native-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** OpenSSL's headers: those of the system, or those that lie beside Node's. */
function headers(): readonly string[] {
  const beside = join(dirname(dirname(process.execPath)), 'include', 'node')
  return !existsSync('/usr/include/openssl/evp.h') && existsSync(beside) ? ['-I', beside] : []
}

test('seals, verifies and opens as OpenSSL does, in one lane and in two, within its memory', () => {
  const program = join(folder, 'segment-test')
  const sources = ['test/native/segment-test.c', 'native/segment.c', 'native/sha256-lanes.c', 'native/aes-wide.c'].map(
    (file) => join(root, file),
  )
  const checks = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all']
  execFileSync('cc', [
    '-std=gnu11',
    '-O1',
    '-g',
    '-Wall',
    '-Wextra',
    '-Werror',
    ...checks,
    ...headers(),
    '-o',
    program,
    ...sources,
    '-l:libcrypto.so.3',
  ])
  const said = execFileSync(program, ['1', '7'], { encoding: 'utf8' })
  expect(said).toMatch(/^\d{6,} checks passed/)
})
