import { parseArgs } from 'node:util'

import { HsmError } from '../errors/hsm-error.js'
import type { TokenOptions } from '../options.js'
import { conformance } from './conformance.js'
import { formatReport } from './report.js'

const USAGE = `usage: hsm:conformance --module PATH --token LABEL --pin-file PATH [--serial S] [--library-parameters TEXT] [--json]

Makes master keys in a key domain of its own, uses them, and destroys them again. Exit status: 0 passed, 1 failed, 2 usage,
6 the token can't be opened.
`

/** Runs the conformance suite against a user's own token. Returns the exit status. */
export async function main(
  args: readonly string[],
  out: NodeJS.WritableStream,
  err: NodeJS.WritableStream,
): Promise<number> {
  const parsed = parse(args)
  if (parsed === undefined) {
    err.write(USAGE)
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

function parse(args: readonly string[]): { token: TokenOptions; json: boolean } | undefined {
  const text = { type: 'string' } as const
  const options = { module: text, token: text, 'pin-file': text, serial: text, 'library-parameters': text }
  try {
    const { values } = parseArgs({ args: [...args], options: { ...options, json: { type: 'boolean' } } })
    const { module, token, 'pin-file': path, serial, 'library-parameters': libraryParameters } = values
    if (module === undefined || token === undefined || path === undefined) return undefined
    const more = {
      ...(serial === undefined ? {} : { serial }),
      ...(libraryParameters === undefined ? {} : { libraryParameters }),
    }
    return { token: { module, token, pin: { kind: 'file', path }, ...more }, json: values.json ?? false }
  } catch (error) {
    if (error instanceof TypeError) return undefined
    throw error
  }
}
