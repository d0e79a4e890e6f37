import { z } from 'zod'
import { absolutePath, absolutePathFault } from '../path.js'
import { tokenLabel } from './token-label.js'

/** A token with the same keys as the primary, which serves while the primary cannot. */
export interface SecondaryToken {
  /** label of the token */
  readonly token: string
  /** needed only where two tokens of a module carry the same label */
  readonly serial: string | undefined
  /** path of its PKCS#11 module; undefined: the primary's */
  readonly module: string | undefined
  /** its PIN's file, which only the HSM's agent reads */
  readonly pinFile: string
  /** a name for its PIN, as SEALFLEET_PKCS11_PIN_ID is for the primary's */
  readonly pinId: string
  /** for the environment of its agents alone, e.g. SOFTHSM2_CONF */
  readonly env: Readonly<Record<string, string>>
}

const ENV_NAME = /^env\.([A-Za-z_][A-Za-z0-9_]*)$/
const PIN_ID = /^[A-Za-z0-9._-]{1,64}$/
const FIELDS = ['token', 'serial', 'module', 'pin-file', 'pin-id']

/**
 * `token=…,pin-file=…[,module=…][,serial=…][,pin-id=…][,env.NAME=…]`, several separated by semicolons, in order of
 * preference. Values hold no comma and no semicolon.
 */
export const secondaryList: z.ZodType<readonly SecondaryToken[], string> = z.string().transform((value, context) => {
  const entries = value.split(';').map((entry) => entry.trim())
  // Lists edited by hand often end with a semicolon.
  if (entries.length > 1 && entries.at(-1) === '') entries.pop()
  return entries.map((entry, index) => {
    const parsed = parseEntry(entry)
    if (typeof parsed !== 'string') return parsed
    context.addIssue({ code: 'custom', message: `is wrong in token ${index + 1}: it ${parsed}` })
    return z.NEVER
  })
})

/** The token, or the fault of its text. */
function parseEntry(entry: string): SecondaryToken | string {
  const given = new Map<string, string>()
  const env: Record<string, string> = {}
  for (const field of entry.split(',')) {
    const at = field.indexOf('=')
    const [name, value] = [field.slice(0, Math.max(0, at)).trim(), field.slice(at + 1).trim()]
    const variable = ENV_NAME.exec(name)?.[1]
    const fault = at < 0 || value === '' ? `gives no value for ${JSON.stringify(name || field.trim())}` : undefined
    if (fault !== undefined) return fault
    if (variable === undefined && !FIELDS.includes(name)) return `has a field ${JSON.stringify(name)}: ${KNOWN}`
    if (variable !== undefined && /^(?:SEALFLEET|NODE)_/.test(variable))
      return `sets ${variable}, which agents do not get`
    if (given.has(name)) return `gives ${name} twice`
    given.set(name, value)
    if (variable !== undefined) env[variable] = value
  }
  return made(given, env)
}

const KNOWN = `it may have ${FIELDS.join(', ')} and env.NAME`

function made(given: ReadonlyMap<string, string>, env: Record<string, string>): SecondaryToken | string {
  const [token, pinFile, module] = [given.get('token'), given.get('pin-file'), given.get('module')]
  if (token === undefined) return 'has no token=LABEL'
  if (pinFile === undefined) return 'has no pin-file=PATH'
  const label = tokenLabel.safeParse(token)
  if (!label.success) return `names a token that ${label.error.issues[0]?.message ?? 'is wrong'}`
  for (const [name, path] of [['pin-file', pinFile] as const, ['module', module] as const]) {
    const fault = path === undefined ? undefined : absolutePathFault(path)
    if (fault !== undefined) return `gives ${name} the path ${JSON.stringify(path)}, which ${fault}`
  }
  const pinId = given.get('pin-id') ?? 'default'
  if (!PIN_ID.test(pinId)) return 'has a pin-id that is not letters, digits, dots, dashes and underscores, at most 64'
  const library = module === undefined ? undefined : absolutePath.parse(module)
  return { token, serial: given.get('serial'), module: library, pinFile: absolutePath.parse(pinFile), pinId, env }
}
