import { parseArgs } from 'node:util'

import { HsmError } from '../errors/hsm-error.js'
import type { TokenOptions } from '../options.js'
import { conformance } from './conformance.js'
import { formatReport } from './report.js'

const USAGE = `usage: npm run hsm:conformance -- --module PATH --token LABEL --pin-file PATH [options]

Tries a token with everything Sealfleet does to one. It makes master keys in a key domain of its own, uses them, contradicts
them, and destroys them again; other keys are not touched. The report says what the token is, its mechanisms and limits, which
attributes of a master key it honours, HMAC operations a second with 1, 4 and 16 callers, and what Sealfleet can use of it.

  --module PATH              the PKCS#11 library
  --token LABEL              label of the token
  --pin-file PATH            a file with the user's PIN; a rejected PIN is tried once
  --serial S                 serial number, where two tokens carry the label
  --library-parameters TEXT  for modules that want some (NSS)
  --json                     the report as one JSON document
  -h, --help                 this text

Exit status: 0 passed, 1 failed, 2 usage, 6 the token can't be opened.
`

/** Runs the conformance suite against a user's own token. Returns the exit status. */
export async function main(
  args: readonly string[],
  out: NodeJS.WritableStream,
  err: NodeJS.WritableStream,
): Promise<number> {
  const parsed = parse(args)
  if (parsed === 'help') {
    out.write(USAGE)
    return 0
  }
  if (typeof parsed === 'string') {
    err.write(`${parsed}\n\n${USAGE}`)
    return 2
  }
  try {
    const report = await conformance(parsed.token)
    out.write(`${parsed.json ? JSON.stringify(report, null, 2) : formatReport(report)}\n`)
    return report.passed ? 0 : 1
  } catch (error) {
    if (!(error instanceof HsmError)) throw error
    err.write(`${error.code}: ${error.message}\n${error.fix ?? ''}\n`)
    return 6
  }
}

/** What is asked for, `help`, or what is wrong with it. */
function parse(args: readonly string[]): { token: TokenOptions; json: boolean } | string {
  const text = { type: 'string' } as const
  const flags = { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const
  const options = { module: text, token: text, 'pin-file': text, serial: text, 'library-parameters': text, ...flags }
  try {
    const { values } = parseArgs({ args: [...args], options })
    const { module, token, 'pin-file': path, serial, 'library-parameters': libraryParameters, json, help } = values
    if (help === true) return 'help'
    const given = { '--module PATH': module, '--token LABEL': token, '--pin-file PATH': path }
    const missing = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [name] : []))
    if (module === undefined || token === undefined || path === undefined) return `missing: ${missing.join(', ')}`
    const more = {
      ...(serial === undefined ? {} : { serial }),
      ...(libraryParameters === undefined ? {} : { libraryParameters }),
    }
    return { token: { module, token, pin: { kind: 'file', path }, ...more }, json: json ?? false }
  } catch (error) {
    if (error instanceof TypeError) return error.message
    throw error
  }
}
