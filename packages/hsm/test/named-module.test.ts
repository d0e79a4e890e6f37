import { describe, expect, it } from 'vitest'

import { conformance } from '../src/conformance/conformance.js'
import { formatReport } from '../src/conformance/report.js'
import type { TokenOptions } from '../src/options.js'

const MODULE = 'SEALFLEET_TEST_PKCS11_MODULE'
const { [MODULE]: module, SEALFLEET_TEST_PKCS11_TOKEN: token = '' } = process.env
const { SEALFLEET_TEST_PKCS11_PIN_FILE: path = '', SEALFLEET_TEST_PKCS11_LIBRARY_PARAMETERS: text } = process.env

function named(library: string): TokenOptions {
  const parameters = text === undefined ? {} : { libraryParameters: text }
  return { module: library, token, pin: { kind: 'file', path }, ...parameters }
}

/** For anyone who has a token that we don't: the same suite, as `npm run hsm:conformance` runs it, as a test. */
describe('a token named by the environment', () => {
  it.skipIf(module === undefined)(`passes the conformance suite (${MODULE}: ${module ?? 'not set'})`, async () => {
    const report = await conformance(named(module ?? ''), { measureMs: 200 })
    expect(
      report.checks.filter(({ outcome }) => outcome === 'failed'),
      formatReport(report),
    ).toEqual([])
    expect(report.passed).toBe(true)
  })
})
